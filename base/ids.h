#ifndef KVASIR_BASE_IDS_H_
#define KVASIR_BASE_IDS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace kvasir {

// One live lease on one node; never reused within an epoch. 0 is none.
enum class LeaseId : uint64_t {};
// One data path of a session; never reused within an epoch. 0 is none.
enum class LaneId : uint64_t {};
// One boot of one server, at random.
enum class Epoch : uint64_t {};

// One client on one node: 128 random bits. All zero is none.
struct SessionId {
  uint64_t high = 0;
  uint64_t low = 0;

  // 16 bytes, big endian: the form on the wire.
  std::string ToBytes() const;
  // InvalidArgument unless `bytes` has exactly 16 bytes.
  static absl::StatusOr<SessionId> FromBytes(std::string_view bytes);
  // 32 hex digits, for people.
  std::string ToString() const;

  friend bool operator==(const SessionId&, const SessionId&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const SessionId& id) {
    return H::combine(std::move(h), id.high, id.low);
  }
};

}  // namespace kvasir

#endif  // KVASIR_BASE_IDS_H_
