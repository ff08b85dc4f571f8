#ifndef KVASIR_SERVICE_NODE_TIER_H_
#define KVASIR_SERVICE_NODE_TIER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/executor.h"
#include "storage/tier.h"
#include "storage/tiered_store.h"

namespace kvasir {

// A node's disk tier: its threads, and its database from the opening to the end. Opens it
// on one of those threads, so that the node can say meanwhile that it recovers.
//
// Threads: Open and the end once each, from one thread; the rest from any.
class NodeTier {
 public:
  using Progress = std::function<void(uint64_t keys, uint64_t keys_total)>;
  // Opens the database; DataLoss if it cannot be read. `readers` may run its reads.
  using Opener = std::function<absl::StatusOr<std::unique_ptr<Tier>>(
      Executor* readers, const Progress& progress)>;
  // Moves a database that cannot be read out of the way; returns where it is.
  using SetAside = std::function<absl::StatusOr<std::string>()>;

  NodeTier();
  // Ends the threads; what they were told to do is done before.
  // REQUIRES: the store that Open was given is still there, and nobody uses it.
  ~NodeTier();

  // For the store. They live as long as this does, but run nothing after Stop.
  Executor* store_executor() { return store_threads_.get(); }
  Executor* load_executor() { return load_threads_.get(); }

  // Begins to open the database, and attaches it to `store`. Then `opened` runs, on a
  // thread of the tier's: OK; FailedPrecondition if the directory is not to be touched,
  // and the node must not run. Whatever else is wrong with the disk leaves the node with
  // memory only, and OK: the store's health says so, and the log does loudly.
  void Open(Opener opener, SetAside set_aside, TieredStore* store,
            absl::AnyInvocable<void(const absl::Status&) &&> opened);
  // As far as the opening has come.
  uint64_t keys() const { return keys_; }
  uint64_t keys_total() const { return keys_total_; }

  // Ends the threads. Idempotent.
  void Stop();

 private:
  absl::Status OpenNow(const Opener& opener, const SetAside& set_aside,
                       TieredStore* store);

  // Only shown.
  std::atomic<uint64_t> keys_{0}, keys_total_{0};
  std::unique_ptr<Tier> tier_;
  std::unique_ptr<ThreadPool> read_threads_;
  std::unique_ptr<ThreadPool> load_threads_;
  std::unique_ptr<ThreadPool> store_threads_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_NODE_TIER_H_
