#ifndef KVASIR_CLIENT_CLI_LOAD_H_
#define KVASIR_CLIENT_CLI_LOAD_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/durability.h"
#include "client/cli/buffer.h"
#include "client/cli/latency.h"
#include "client/cli/progress.h"
#include "client/cli/replay/pattern.h"
#include "client/client.h"

// A steady load for `kvasir bench`: workers that put, then get, the same batch of blocks
// over and over. Each worker has keys and a registered buffer of its own.
namespace kvasir {

struct LoadOptions {
  uint64_t block_bytes = 0;
  size_t keys = 0;                    // blocks a batch
  size_t concurrency = 1;             // batches at a time
  std::chrono::nanoseconds phase{0};  // of puts, and again of gets
  Durability durability = Durability::kNone;  // of every put
  bool verify = true;                 // compare what gets bring; not in the measured time
  std::string key_prefix;
  const std::atomic<bool>* interrupted = nullptr;
};

struct LoadPhase {
  uint64_t batches = 0;
  uint64_t blocks = 0;    // that were stored, or arrived
  uint64_t failures = 0;  // blocks that were not, or did not
  uint64_t mismatches = 0;
  uint64_t bytes = 0;
  std::chrono::nanoseconds busy{0};  // at least one batch under way
  LatencyHistogram latency;          // of a batch
  std::string first_failure;
};

struct LoadReport {
  LoadPhase put, get;
};

class Load {
 public:
  // None owned; all must outlive the load.
  Load(Client* client, const Clock* clock, const LoadOptions& options,
       Progress* progress);
  // An error only if it cannot begin.
  absl::StatusOr<LoadReport> Run();

 private:
  enum class Kind { kPut, kGet };
  class Worker;
  LoadPhase RunPhase(Kind kind, std::vector<Buffer>* buffers);
  bool Over(Instant end) const;

  Client* const client_;
  const Clock* const clock_;
  const LoadOptions options_;
  Progress* const progress_;
  const BlockPattern pattern_;
  absl::Mutex mu_;
  LoadPhase phase_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_LOAD_H_
