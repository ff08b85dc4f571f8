#ifndef KVASIR_CLIENT_CLI_REPLAY_REPLAYER_H_
#define KVASIR_CLIENT_CLI_REPLAY_REPLAYER_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/durability.h"
#include "base/limits.h"
#include "client/cli/latency.h"
#include "client/cli/progress.h"
#include "client/cli/replay/pattern.h"
#include "client/cli/replay/trace.h"
#include "client/client.h"

// Drives a Client with a trace as an engine would: for each request look up the prefix,
// get its blocks, compare every byte with what that block must hold, put what missed.
//
// A *hit* is a block of the unbroken prefix that really arrived: the count ends at the
// first block that lookup did not find or get did not bring (evicted in between, late,
// damaged). What arrives behind such a hole is verified too, but is no hit.
namespace kvasir {

struct ReplayOptions {
  uint64_t block_bytes = 256 * kKiB;
  uint64_t batch_bytes = 32 * kMiB;  // at most so much a call, but at least one block
  size_t concurrency = 1;            // requests at a time
  double speedup = 0;                // of the trace's clock; 0: as fast as possible
  Durability durability = Durability::kNone;  // of every put
  std::optional<std::chrono::milliseconds> run_for;  // take no request after this
  std::string key_prefix;  // of every key; also salts the blocks' content
  const std::atomic<bool>* interrupted = nullptr;      // take no request once it is true
  std::function<void(std::chrono::nanoseconds)> wait;  // how to let time pass
};

// Blocks unless the name says otherwise.
struct ReplayCounts {
  uint64_t requests = 0;
  uint64_t looked_up = 0;
  uint64_t hits = 0;
  uint64_t hits_disk = 0;  // of the hits: lookup found them on the node's disk only
  uint64_t lost = 0;  // lookup promised them, get did not bring them
  uint64_t put = 0;
  uint64_t puts_present = 0;  // another request had stored it meanwhile
  uint64_t puts_refused = 0;  // the node was full
  uint64_t put_failures = 0;  // anything else
  uint64_t bytes_put = 0;
  uint64_t bytes_got = 0;
  uint64_t bytes_verified = 0;  // of bytes_got: compared and right
  uint64_t mismatches = 0;      // arrived with wrong bytes
  uint64_t prefill_tokens = 0;
  uint64_t prefill_tokens_saved = 0;

  void Add(const ReplayCounts& other);
};

struct ReplayReport {
  ReplayCounts counts;
  uint64_t ideal_hits = 0;  // of a cache without limits, over the same requests
  std::chrono::nanoseconds elapsed{0};
  // For how long at least one get, or put, was under way.
  std::chrono::nanoseconds get_busy{0}, put_busy{0};
  // Of a request: all its calls of the kind. Get and put only where it had any.
  LatencyHistogram lookup, get, put;
  std::string first_mismatch;     // which block, where
  std::string first_put_failure;  // refused or failed: what the node said

  uint64_t misses() const { return counts.looked_up - counts.hits; }
  uint64_t hits_memory() const { return counts.hits - counts.hits_disk; }
  double hit_ratio() const;
  double ideal_hit_ratio() const;
};

class Replayer {
 public:
  // None owned; all must outlive the replayer. `progress` may be null.
  Replayer(Client* client, const Clock* clock, const Trace* trace,
           const ReplayOptions& options, Progress* progress);

  // Replays the trace once. An error only if it cannot begin (no memory for buffers);
  // what goes wrong with a block is in the report.
  absl::StatusOr<ReplayReport> Run() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Outcome;  // of one request
  class Worker;

  // The next request, once it is due; null when the replay is over.
  const TraceRequest* Take() ABSL_LOCKS_EXCLUDED(mu_);
  bool Over() const;
  void Record(const Outcome& outcome) ABSL_LOCKS_EXCLUDED(mu_);

  Client* const client_;
  const Clock* const clock_;
  const Trace* const trace_;
  const ReplayOptions options_;
  Progress* const progress_;
  const BlockPattern pattern_;
  Instant start_;
  BusyTime lookup_busy_, get_busy_, put_busy_;

  absl::Mutex mu_;
  size_t next_ ABSL_GUARDED_BY(mu_) = 0;
  IdealCache ideal_ ABSL_GUARDED_BY(mu_);
  ReplayReport report_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_REPLAY_REPLAYER_H_
