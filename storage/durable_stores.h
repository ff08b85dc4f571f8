#ifndef KVASIR_STORAGE_DURABLE_STORES_H_
#define KVASIR_STORAGE_DURABLE_STORES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/durability.h"

namespace kvasir {

// The durable stores that are under way, by key, so that who wants a block durable that
// somebody else is storing so waits for that instead of storing it again.
//
// Threads: every method from any thread.
// Bounds:  an entry for each block in the queue of durable stores (storage/tier_writer.h).
class DurableStores {
 public:
  struct Store {
    uint64_t generation = 0;
    Durability durability = Durability::kNone;
    uint64_t settlement = 0;  // storage/settlements.h
  };

  // Of several of one key the last is found.
  void Begin(std::string_view key, const Store& store) ABSL_LOCKS_EXCLUDED(mu_);
  // No effect if another one of the key has begun since.
  void End(std::string_view key, uint64_t settlement) ABSL_LOCKS_EXCLUDED(mu_);
  // The settlement of a store of this block that promises as much or more; 0: none.
  uint64_t Find(std::string_view key, uint64_t generation, Durability durability) const
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Store> stores_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_DURABLE_STORES_H_
