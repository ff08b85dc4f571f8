#ifndef KVASIR_RDMA_HMAC_H_
#define KVASIR_RDMA_HMAC_H_

#include <array>
#include <cstddef>
#include <memory>
#include <span>

namespace kvasir {

// HMAC-SHA-256 under one key (RFC 2104). The two hash states that depend on the key
// alone are made once, so signing 81 bytes costs three compressions and no allocation.
// Immutable; thread-safe.
class HmacSha256 {
 public:
  static constexpr size_t kBytes = 32;

  // REQUIRES: `key` has at most 64 bytes.
  explicit HmacSha256(std::span<const std::byte> key);
  ~HmacSha256();  // Wipes what it knows of the key.

  std::array<std::byte, kBytes> Sign(std::span<const std::byte> message) const;

 private:
  struct States;
  const std::unique_ptr<States> states_;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_HMAC_H_
