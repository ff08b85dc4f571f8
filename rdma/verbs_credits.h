#ifndef KVASIR_RDMA_VERBS_CREDITS_H_
#define KVASIR_RDMA_VERBS_CREDITS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"

namespace kvasir {

// Counts what is in flight on one queue pair, so that no burst can overflow its send
// queue, the READs that both NICs have agreed on, or the completion queue behind it.
// Requests complete in the order in which they were posted, and only some of them say so
// (selective signalling): a completion settles all that were posted before it.
//
// Not thread-safe.
class VerbsCredits {
 public:
  struct Limits {
    size_t requests_max = 0;  // in flight; of READs at most what was negotiated
    uint64_t bytes_max = 0;   // in flight, but one request of any size always goes
    // A request asks for a completion if so many requests, or bytes, went without.
    size_t silent_requests_max = 8;
    uint64_t silent_bytes_max = 256 * 1024;
  };
  // REQUIRES: requests_max > 0.
  explicit VerbsCredits(const Limits& limits);

  bool CanPost(uint64_t bytes) const;
  struct Posting {
    uint64_t sequence = 0;  // comes back with the completion
    bool signalled = false;
  };
  // A request of `bytes` is to be posted. `tag` comes back when it completes.
  // REQUIRES: CanPost(bytes).
  Posting Post(uint64_t bytes, size_t tag);
  // The request posted last must be signalled, because nothing is posted after it for
  // now: a queue that ends in silence would never tell. True if it was not yet.
  bool SignalLast();

  // Request `sequence` has completed, so all before it have: runs `settled` with the tag
  // of each, in order. False if no such request is in flight: nothing changes then.
  bool Complete(uint64_t sequence, absl::FunctionRef<void(size_t tag)> settled);

  size_t requests_in_flight() const { return static_cast<size_t>(next_ - oldest_); }
  uint64_t bytes_in_flight() const { return bytes_in_flight_; }

 private:
  struct Request {
    uint64_t bytes = 0;
    size_t tag = 0;
  };
  Request& At(uint64_t sequence) { return ring_[sequence % ring_.size()]; }

  const Limits limits_;
  std::vector<Request> ring_;
  uint64_t oldest_ = 0;  // sequence of the oldest request in flight
  uint64_t next_ = 0;    // ... and of the one to be posted next
  uint64_t bytes_in_flight_ = 0;
  size_t silent_requests_ = 0;  // since the last that was signalled
  uint64_t silent_bytes_ = 0;
};

// Which of the queues takes a request of `bytes` next: the one with the fewest bytes in
// flight that can, so that a faster rail gets more. Nothing if none can.
std::optional<size_t> LeastLoaded(std::span<const VerbsCredits* const> queues,
                                  uint64_t bytes);

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_CREDITS_H_
