#ifndef KVASIR_SERVICE_NODE_TIER_H_
#define KVASIR_SERVICE_NODE_TIER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/limits.h"
#include "storage/tier.h"
#include "storage/tiered_store.h"

namespace kvasir {

// A node's disk tier: its threads, and its database from the opening to the end. Opens it
// on one of those threads, so that the node can say meanwhile that it recovers, and tries
// again every kTierProbeInterval for as long as that fails.
//
// Memory goes on alone only where the disk has nothing that could contradict it later:
// where there is no database yet, or one that is damaged, which is set aside. A database
// that the disk does not let us read may come back with all that was removed or replaced
// meanwhile; the node waits for it instead (docs/decisions/0007).
//
// Threads: Open, EndOpening and Stop from one thread; Step from one; the rest from any.
class NodeTier {
 public:
  using Progress = std::function<void(uint64_t keys, uint64_t keys_total)>;
  // What the database may use: for its reads, and for what it writes.
  struct Executors {
    Executor* readers = nullptr;
    Executor* writers = nullptr;
  };
  // Opens the database; DataLoss if it cannot be read, ResourceExhausted if there is none
  // yet and no room for one, other errors as RocksTier::Open.
  using Opener = std::function<absl::StatusOr<std::unique_ptr<Tier>>(
      const Executors& executors, const Progress& progress)>;
  // Moves a database that cannot be read out of the way; returns where it is.
  using SetAside = std::function<absl::StatusOr<std::string>()>;
  using Opened = absl::AnyInvocable<void(const absl::Status&) &&>;

  NodeTier();
  // Ends the threads; what they were told to do is done before.
  // REQUIRES: the store that Open was given is still there, and nobody uses it.
  ~NodeTier();

  // For the store. They live as long as this does, but run nothing after Stop.
  Executor* store_executor() { return store_threads_.get(); }
  Executor* load_executor() { return load_threads_.get(); }

  // Begins to open the database, and attaches it to `store`. Once the node may serve or
  // must not run, `opened` runs, on a thread of the tier's: OK, with the tier or, while
  // the store's health says MEMORY_ONLY, still without; FailedPrecondition if the
  // directory is not to be touched. Once.
  void Open(Opener opener, SetAside set_aside, TieredStore* store, Opened opened);
  // Tries again, if that is due.
  void Step(Instant now) ABSL_LOCKS_EXCLUDED(mu_);
  // Tries no more, and waits for a try that is under way. `opened` runs no more.
  void EndOpening() ABSL_LOCKS_EXCLUDED(mu_);

  // As far as the opening has come.
  uint64_t keys() const { return keys_; }
  uint64_t keys_total() const { return keys_total_; }
  // What the last try to open it came to; empty if it is open, or the first is under way.
  std::string fault() const ABSL_LOCKS_EXCLUDED(mu_);
  // Databases that were set aside since the start.
  uint64_t set_aside_count() const { return set_aside_count_; }

  // Ends the threads. Idempotent.
  void Stop();

 private:
  // REQUIRES: trying_.
  void Submit() ABSL_LOCKS_EXCLUDED(mu_);
  void Try() ABSL_LOCKS_EXCLUDED(mu_);
  // OK, and the tier is attached; or why not.
  absl::Status OpenNow();
  std::string MoveAside(const absl::Status& damage);
  // Without the tier, for now: goes on, waits, or gives up.
  void OnFault(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void Tell(const absl::Status& status);

  // Set by Open.
  Opener opener_;
  SetAside set_aside_;
  TieredStore* store_ = nullptr;
  Opened opened_;  // null: has run; used by one try at a time, as is tier_

  // Only shown.
  std::atomic<uint64_t> keys_{0}, keys_total_{0}, set_aside_count_{0};
  std::unique_ptr<Tier> tier_;
  mutable absl::Mutex mu_;
  bool trying_ ABSL_GUARDED_BY(mu_) = false;  // or about to
  bool again_ ABSL_GUARDED_BY(mu_) = false;   // once that is due
  std::optional<Instant> due_ ABSL_GUARDED_BY(mu_);
  std::string fault_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<ThreadPool> read_threads_;
  std::unique_ptr<ThreadPool> write_threads_;
  std::unique_ptr<ThreadPool> load_threads_;
  std::unique_ptr<ThreadPool> store_threads_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_NODE_TIER_H_
