#include "tests/integration/faults/whole_blocks.h"

namespace kvasir {
namespace {

constexpr int kAttempts = 20;

class Collector final : public Sink {
 public:
  explicit Collector(size_t count) : blocks_(count) {}
  void Place(std::span<Landing> landings) override {
    for (Landing& landing : landings) {
      std::vector<std::byte>& block = blocks_[landing.index];
      block.resize(landing.size_bytes);
      landing.local = block;
    }
  }
  std::vector<std::byte> Take(size_t index) { return std::move(blocks_[index]); }

 private:
  std::vector<std::vector<std::byte>> blocks_;
};

}  // namespace

WholeBlocks GetWhole(Client* client, std::span<const std::string_view> keys) {
  Collector collector(keys.size());
  const std::vector<absl::Status> statuses = client->Get(keys, collector, {});
  WholeBlocks blocks(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (statuses[i].ok()) blocks[i] = collector.Take(i);
  }
  return blocks;
}

WholeBlocks GetAllThereIs(Client* client, std::span<const std::string_view> keys) {
  WholeBlocks blocks = GetWhole(client, keys);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const LookupResult there = client->Lookup(keys, {});
    std::vector<std::string_view> missing;
    std::vector<size_t> places;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (blocks[i].has_value() || !there.present[i]) continue;
      missing.push_back(keys[i]);
      places.push_back(i);
    }
    if (missing.empty()) break;
    WholeBlocks more = GetWhole(client, missing);
    for (size_t i = 0; i < missing.size(); ++i) blocks[places[i]] = std::move(more[i]);
  }
  return blocks;
}

}  // namespace kvasir
