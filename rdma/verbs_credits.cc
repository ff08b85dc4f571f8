#include "rdma/verbs_credits.h"

#include <algorithm>

#include "base/check.h"

namespace kvasir {

VerbsCredits::VerbsCredits(const Limits& limits)
    : limits_(limits), ring_(limits.requests_max) {
  KV_CHECK(limits.requests_max > 0);
}

bool VerbsCredits::CanPost(uint64_t bytes) const {
  if (requests_in_flight() == 0) return true;
  return requests_in_flight() < limits_.requests_max &&
         bytes <= limits_.bytes_max - std::min(bytes_in_flight_, limits_.bytes_max);
}

VerbsCredits::Posting VerbsCredits::Post(uint64_t bytes, size_t tag) {
  KV_CHECK(CanPost(bytes));
  At(next_) = {.bytes = bytes, .tag = tag};
  bytes_in_flight_ += bytes;
  ++silent_requests_;
  silent_bytes_ += bytes;
  const bool signalled = silent_requests_ >= limits_.silent_requests_max ||
                         silent_bytes_ >= limits_.silent_bytes_max;
  if (signalled) silent_requests_ = silent_bytes_ = 0;
  return {.sequence = next_++, .signalled = signalled};
}

bool VerbsCredits::SignalLast() {
  const bool was_silent = silent_requests_ > 0;
  silent_requests_ = silent_bytes_ = 0;
  return was_silent;
}

bool VerbsCredits::Complete(uint64_t sequence, absl::FunctionRef<void(size_t tag)> settled) {
  if (sequence < oldest_ || sequence >= next_) return false;
  while (oldest_ <= sequence) {
    const Request& request = At(oldest_++);
    bytes_in_flight_ -= request.bytes;
    settled(request.tag);
  }
  return true;
}

std::optional<size_t> LeastLoaded(std::span<const VerbsCredits* const> queues,
                                  uint64_t bytes) {
  std::optional<size_t> best;
  for (size_t i = 0; i < queues.size(); ++i) {
    if (!queues[i]->CanPost(bytes)) continue;
    if (!best.has_value() ||
        queues[i]->bytes_in_flight() < queues[*best]->bytes_in_flight()) {
      best = i;
    }
  }
  return best;
}

}  // namespace kvasir
