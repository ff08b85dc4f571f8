#include "storage/room_maker.h"

#include <algorithm>

namespace kvasir {
namespace {

// Measured on mixed sizes with Zipf reads (tests/bench/arena_bench): with 64 the wide
// window is needed often and costs 2 to 8 % of the hits; more than 256 changes nothing.
constexpr size_t kColdest = 256;
// More holes than this part of the arena only lose hits; fewer lose more of them to
// evictions out of order.
constexpr uint64_t kHolesPart = 40;
// A byte of a block that is not among the coldest, against one that is.
constexpr uint64_t kWarmWeight = 4;

}  // namespace

bool RoomMaker::FewHoles() const {
  const Arena::Usage usage = arena_->usage();
  return usage.capacity_bytes - usage.allocated_bytes < usage.capacity_bytes / kHolesPart;
}

std::vector<Block*> RoomMaker::Choose(uint64_t size_bytes, int round) {
  if (round < kRoundsInOrder && FewHoles()) {
    Block* const victim = victims_->PopIdle();
    if (victim == nullptr) return {};
    return {victim};
  }
  std::vector<Block*> coldest = victims_->HoldColdest(kColdest);
  std::sort(coldest.begin(), coldest.end());
  std::vector<Block*> window;
  for (const Reach reach : {Reach::kColdest, Reach::kAroundColdest, Reach::kEverywhere}) {
    window = HoldWindow(size_bytes, reach, &coldest);
    if (!window.empty()) break;
  }
  for (Block* block : coldest) owner_->Release(block);
  return window;
}

std::vector<Block*> RoomMaker::HoldWindow(uint64_t size_bytes, Reach reach,
                                          std::vector<Block*>* coldest) {
  const std::vector<Arena::Slot*> seeds(coldest->begin(), coldest->end());
  const auto find = [coldest](const Block* block) {
    const auto it = std::lower_bound(coldest->begin(), coldest->end(), block);
    return it != coldest->end() && *it == block ? it : coldest->end();
  };
  const auto cost = [&](const Arena::Slot& slot) {
    const auto& block = static_cast<const Block&>(slot);
    // A block among the coldest is held once by us.
    if (block.IsIdle(/*mine=*/1) && find(&block) != coldest->end()) {
      return block.allocated_bytes();
    }
    if (reach == Reach::kColdest || !block.IsIdle(/*mine=*/0)) return Arena::kImmovable;
    return block.allocated_bytes() * kWarmWeight * (1 + block.uses());
  };
  std::vector<Block*> window;
  const auto take = [&](Arena::Slot* slot) {
    auto* const block = static_cast<Block*>(slot);
    // Who came for the block since its cost was asked keeps it: the next round sees.
    if (find(block) != coldest->end() || block->HoldIfIdle()) window.push_back(block);
  };
  arena_->FindWindow({.size_bytes = size_bytes,
                      .seeds = seeds,
                      .everywhere = reach == Reach::kEverywhere,
                      .cost = cost,
                      .take = take});
  std::erase_if(*coldest, [&](Block* block) {
    return std::find(window.begin(), window.end(), block) != window.end();
  });
  return window;
}

}  // namespace kvasir
