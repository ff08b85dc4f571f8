#ifndef KVASIR_RDMA_VERBS_EXPORTS_H_
#define KVASIR_RDMA_VERBS_EXPORTS_H_

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/executor.h"
#include "base/region.h"
#include "rdma/verbs_device.h"
#include "rdma/verbs_handles.h"
#include "rdma/verbs_wire.h"

namespace kvasir {

// The regions that a server offers, registered with each rail's NIC twice: once so that
// peers may only read, once so that they may only write. A key of one kind is worth
// nothing for the other. Thread-safe.
class VerbsExports {
 public:
  // `rails` is not owned and must outlive this.
  explicit VerbsExports(std::span<const std::unique_ptr<VerbsDevice>> rails)
      : rails_(rails) {}

  // Registers `region`, which must outlive this, in chunks: at the same time where
  // `executor` is not null, with a line on the log for each. ResourceExhausted if memory
  // may not be locked or there are kVerbsRegionsMax; nothing is offered then.
  absl::Status Add(const Region& region, Executor* executor) ABSL_LOCKS_EXCLUDED(mu_);

  // What an offer that uses the first `rails` rails says.
  std::vector<VerbsRegion> Offer(size_t rails) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Job;
  absl::Status Run(std::span<Job> jobs, Executor* executor);

  const std::span<const std::unique_ptr<VerbsDevice>> rails_;
  mutable absl::Mutex mu_;
  std::vector<VerbsRegion> regions_ ABSL_GUARDED_BY(mu_);
  std::vector<VerbsMr> mrs_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_EXPORTS_H_
