#include "storage/durable_stores.h"

#include "base/bytes.h"

namespace kvasir {

using absl::MutexLock;

void DurableStores::Begin(std::string_view key, const Store& store) {
  MutexLock lock(&mu_);
  stores_[std::string(key)] = store;
}

void DurableStores::End(std::string_view key, uint64_t settlement) {
  MutexLock lock(&mu_);
  const auto store = stores_.find(ToAbsl(key));
  if (store != stores_.end() && store->second.settlement == settlement) {
    stores_.erase(store);
  }
}

uint64_t DurableStores::Find(std::string_view key, uint64_t generation,
                             Durability durability) const {
  MutexLock lock(&mu_);
  const auto store = stores_.find(ToAbsl(key));
  if (store == stores_.end() || store->second.generation != generation ||
      store->second.durability < durability) {
    return 0;
  }
  return store->second.settlement;
}

}  // namespace kvasir
