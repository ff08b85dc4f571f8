#include "tests/storage/tier_batch.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "tests/storage/described_bytes.h"

namespace kvasir {

std::string DescribedAttributes(std::string_view key, uint64_t generation) {
  // Between 0 and 256 bytes, the limits included.
  const uint64_t hash = ChecksumSeed(key) + generation;
  std::string attributes(hash % 257, '\0');
  for (size_t i = 0; i < attributes.size(); ++i) {
    attributes[i] = static_cast<char>(hash >> (i % 8));
  }
  return attributes;
}

TierBatch& TierBatch::Add(std::string key, uint64_t generation, size_t size_bytes) {
  auto block = std::make_unique<Block>();
  block->key = std::move(key);
  block->generation = generation;
  block->payload.resize(size_bytes);
  DescribedBytes(block->key, generation).Fill(block->payload);
  block->info = {.size_bytes = size_bytes,
                 .checksum = BlockChecksum(ChecksumSeed(block->key), block->payload),
                 .attributes = DescribedAttributes(block->key, generation)};
  blocks_.push_back(std::move(block));
  return *this;
}

std::vector<Tier::Record> TierBatch::records() const {
  std::vector<Tier::Record> records;
  for (const auto& block : blocks_) {
    records.push_back({.key = block->key,
                       .generation = block->generation,
                       .info = &block->info,
                       .payload = block->payload});
  }
  return records;
}

absl::Status LoadDescribed(Tier* tier, std::string_view key, const TierBlock& block) {
  std::vector<std::byte> bytes(block.info.size_bytes);
  Tier::Read read{.key = key, .generation = block.generation, .payload = bytes};
  tier->Load({&read, 1});
  if (!read.status.ok()) return read.status;
  if (!DescribedBytes(key, block.generation).Match(bytes)) {
    return absl::InternalError(
        absl::StrCat("wrong bytes of ", PrintableKey(key), " @ ", block.generation));
  }
  if (block.info.attributes != DescribedAttributes(key, block.generation)) {
    return absl::InternalError(absl::StrCat("wrong attributes of ", PrintableKey(key)));
  }
  return absl::OkStatus();
}

}  // namespace kvasir
