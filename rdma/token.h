#ifndef KVASIR_RDMA_TOKEN_H_
#define KVASIR_RDMA_TOKEN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/extent.h"
#include "base/ids.h"

namespace kvasir {

enum class Access : uint8_t { kRead, kWrite };

// A lease as the client sees it: "until it expires, these bytes are yours to read (or to
// fill) on this lane and are nothing else". Only a Transport looks inside `sealed`.
//
// `sealed` binds everything in TokenClaims under a MAC. A CPU that moves the bytes checks
// it; a NIC enforces the same through the protection domain, the access flags of the
// queue pair and its lifetime.
struct Token {
  LeaseId lease{};
  Extent extent;
  Access access = Access::kRead;
  // The server already sends these bytes on the lane, unasked; `sealed` is empty.
  bool pushed = false;
  std::string sealed;
};

// What a sealed token says.
struct TokenClaims {
  LeaseId lease{};
  SessionId session;
  LaneId lane{};
  Access access = Access::kRead;
  Extent extent;
  uint64_t generation = 0;
  Instant expiry;  // on the server's clock
};

// Makes and checks sealed tokens: HMAC-SHA-256 (RFC 2104) truncated to 128 bits, over
// the claims and the epoch, under a key that the kernel's generator makes at
// construction and that is never stored. Immutable; thread-safe.
class TokenSealer {
 public:
  explicit TokenSealer(Epoch epoch);
  ~TokenSealer();
  TokenSealer(const TokenSealer&) = delete;
  TokenSealer& operator=(const TokenSealer&) = delete;

  std::string Seal(const TokenClaims& claims) const;
  // PermissionDenied, without saying which part is wrong, unless Seal of this very
  // object made `sealed`. Does not look at the expiry.
  absl::StatusOr<TokenClaims> Open(std::string_view sealed) const;

 private:
  struct Key;
  const Epoch epoch_;
  const std::unique_ptr<const Key> key_;
};

// Bytes of every sealed token.
inline constexpr size_t kSealedTokenBytes = 97;

// What `sealed` says, unchecked: worth something only once Gate::Admit has accepted this
// very string. PermissionDenied if it has not the shape of a token.
absl::StatusOr<TokenClaims> ReadClaims(std::string_view sealed);

}  // namespace kvasir

#endif  // KVASIR_RDMA_TOKEN_H_
