#ifndef KVASIR_SERVICE_REQUEST_METRICS_H_
#define KVASIR_SERVICE_REQUEST_METRICS_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

namespace kvasir {

// The calls that are counted and timed; a hot call counts alike as unary and on a lane.
enum class Method : uint8_t {
  kOpenSession,
  kCloseSession,
  kHeartbeat,
  kOpenLane,
  kLookup,
  kGrantReads,
  kGrantWrites,
  kCommit,
  kAbort,
  kRelease,
  kRemove,
  kUnpinOwner,
  kAdmin,
};
inline constexpr size_t kMethods = 13;
std::string_view MethodName(Method method);  // as in the .proto: "GrantReads"

// Counts and times requests. Lock-free, because every hot call comes by: a record is
// three relaxed additions. A snapshot taken meanwhile may miss the newest record in one
// of its numbers, which no reader of metrics can tell.
class RequestMetrics {
 public:
  // Upper bounds of the buckets; a last one takes the rest.
  static constexpr std::array<std::chrono::microseconds, 16> kBounds = {
      std::chrono::microseconds(2),       std::chrono::microseconds(5),
      std::chrono::microseconds(10),      std::chrono::microseconds(20),
      std::chrono::microseconds(50),      std::chrono::microseconds(100),
      std::chrono::microseconds(200),     std::chrono::microseconds(500),
      std::chrono::microseconds(1'000),   std::chrono::microseconds(2'000),
      std::chrono::microseconds(5'000),   std::chrono::microseconds(10'000),
      std::chrono::microseconds(50'000),  std::chrono::microseconds(100'000),
      std::chrono::microseconds(500'000), std::chrono::microseconds(1'000'000)};
  static constexpr size_t kCodes = 17;  // google.rpc.Code, 0 to 16

  struct Snapshot {
    std::array<uint64_t, kBounds.size() + 1> buckets{};  // not cumulative
    uint64_t count = 0;
    std::chrono::nanoseconds sum{};
    std::array<uint64_t, kCodes> codes{};  // how the requests ended
  };

  void Record(Method method, std::chrono::nanoseconds taken, absl::StatusCode code);
  Snapshot Read(Method method) const;

 private:
  // On cache lines of its own: lanes on different cores mostly use different methods.
  struct alignas(64) Counters {
    // All independent counters; none is loaded to decide anything, so none needs order.
    std::array<std::atomic<uint64_t>, kBounds.size() + 1> buckets{};
    std::atomic<uint64_t> sum_ns{0};
    std::array<std::atomic<uint64_t>, kCodes> codes{};
  };
  std::array<Counters, kMethods> methods_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_REQUEST_METRICS_H_
