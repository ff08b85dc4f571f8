#include "service/request_metrics.h"

#include <algorithm>

namespace kvasir {
namespace {

constexpr std::array<std::string_view, kMethods> kNames = {
    "OpenSession", "CloseSession", "Heartbeat", "OpenLane", "Lookup",
    "GrantReads",  "GrantWrites",  "Commit",    "Abort",    "Release",
    "Remove",      "UnpinOwner",   "Admin"};

constexpr auto kRelaxed = std::memory_order_relaxed;

}  // namespace

std::string_view MethodName(Method method) { return kNames[static_cast<size_t>(method)]; }

void RequestMetrics::Record(Method method, std::chrono::nanoseconds taken,
                            absl::StatusCode code) {
  Counters& counters = methods_[static_cast<size_t>(method)];
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), taken);
  counters.buckets[bound - kBounds.begin()].fetch_add(1, kRelaxed);
  counters.sum_ns.fetch_add(std::max<int64_t>(taken.count(), 0), kRelaxed);
  const auto number = std::min(static_cast<size_t>(code), kCodes - 1);
  counters.codes[number].fetch_add(1, kRelaxed);
}

RequestMetrics::Snapshot RequestMetrics::Read(Method method) const {
  const Counters& counters = methods_[static_cast<size_t>(method)];
  Snapshot snapshot;
  for (size_t i = 0; i < snapshot.buckets.size(); ++i) {
    snapshot.buckets[i] = counters.buckets[i].load(kRelaxed);
    snapshot.count += snapshot.buckets[i];
  }
  snapshot.sum = std::chrono::nanoseconds(counters.sum_ns.load(kRelaxed));
  for (size_t i = 0; i < kCodes; ++i)
    snapshot.codes[i] = counters.codes[i].load(kRelaxed);
  return snapshot;
}

}  // namespace kvasir
