#include "tests/storage/tier_contract.h"

#include <optional>
#include <utility>

namespace kvasir {

absl::Status TierContract::Store(const TierBatch& batch, Durability durability) {
  return tier()->Store(batch.records(), durability);
}

absl::Status TierContract::StoreOne(const std::string& key, uint64_t generation,
                                    size_t size_bytes, Durability durability) {
  return Store(TierBatch().Add(key, generation, size_bytes), durability);
}

absl::Status TierContract::DeleteOne(std::string_view key, uint64_t generation) {
  const Tier::Tombstone tombstone{.key = key, .generation = generation};
  return tier()->Delete({&tombstone, 1});
}

uint64_t TierContract::GenerationOf(std::string_view key) {
  const std::optional<TierBlock> found = tier()->Find(key);
  return found ? found->generation : 0;
}

absl::Status TierContract::Load(std::string_view key) {
  const std::optional<TierBlock> found = tier()->Find(key);
  if (!found) return absl::NotFoundError("Find tells of none");
  return LoadDescribed(tier(), key, *found);
}

absl::Status TierContract::LoadGeneration(std::string_view key, uint64_t generation,
                                          size_t size_bytes) {
  std::vector<std::byte> bytes(size_bytes);
  Tier::Read read{.key = key, .generation = generation, .payload = bytes};
  tier()->Load({&read, 1});
  return read.status;
}

std::vector<std::string> TierContract::Keys(std::string_view prefix,
                                            std::string_view after, size_t limit) {
  std::vector<std::string> keys;
  for (Tier::Listed& listed : tier()->List(prefix, after, limit)) {
    keys.push_back(std::move(listed.key));
  }
  return keys;
}

}  // namespace kvasir
