#ifndef KVASIR_TESTS_STORAGE_TIER_BATCH_H_
#define KVASIR_TESTS_STORAGE_TIER_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "storage/tier.h"

namespace kvasir {

// Blocks of bytes that say what they are (described_bytes.h), as a batch to store.
class TierBatch {
 public:
  // `attributes` follow from key and generation as the bytes do.
  TierBatch& Add(std::string key, uint64_t generation, size_t size_bytes);
  std::vector<Tier::Record> records() const;
  size_t size() const { return blocks_.size(); }

 private:
  struct Block {
    std::string key;
    uint64_t generation;
    BlockInfo info;
    std::vector<std::byte> payload;
  };
  // In place: records point into it.
  std::vector<std::unique_ptr<Block>> blocks_;
};

// The attributes that TierBatch gives a block.
std::string DescribedAttributes(std::string_view key, uint64_t generation);

// Loads one block as Find told of it. OK, or Load's status; Internal if the bytes are not
// those of (key, generation).
absl::Status LoadDescribed(Tier* tier, std::string_view key, const TierBlock& block);

}  // namespace kvasir

#endif  // KVASIR_TESTS_STORAGE_TIER_BATCH_H_
