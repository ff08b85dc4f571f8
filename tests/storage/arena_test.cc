#include "storage/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "base/limits.h"
#include "storage/arena_window.h"

namespace kvasir {
namespace {

std::unique_ptr<Region> MapRegion(uint64_t size_bytes) {
  return *Region::Map({.id = RegionId(7), .size_bytes = size_bytes});
}

// Slots that are freed when they go.
class Slots {
 public:
  explicit Slots(Arena* arena) : arena_(arena) {}
  ~Slots() {
    while (!slots_.empty()) FreeAt(0);
  }

  absl::Status Add(uint64_t size_bytes) {
    auto slot = std::make_unique<Arena::Slot>();
    absl::Status status = arena_->Allocate(size_bytes, slot.get());
    if (status.ok()) slots_.push_back(std::move(slot));
    return status;
  }
  void FreeAt(size_t i) {
    arena_->Free(slots_[i].get());
    std::swap(slots_[i], slots_.back());
    slots_.pop_back();
  }
  Arena::Slot* at(size_t i) { return slots_[i].get(); }
  size_t size() const { return slots_.size(); }

  // Sorted by offset: no overlap, in bounds, and the bytes that usage() tells.
  void Check() const {
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    uint64_t bytes = 0;
    for (const auto& slot : slots_) {
      ranges.emplace_back(slot->offset_bytes(),
                          slot->offset_bytes() + slot->allocated_bytes());
      bytes += slot->allocated_bytes();
    }
    std::sort(ranges.begin(), ranges.end());
    uint64_t end = 0;
    uint64_t largest_gap = 0;
    for (const auto& [from, to] : ranges) {
      ASSERT_GE(from, end);
      largest_gap = std::max(largest_gap, from - end);
      end = to;
    }
    const Arena::Usage usage = arena_->usage();
    ASSERT_LE(end, usage.capacity_bytes);
    largest_gap = std::max(largest_gap, usage.capacity_bytes - end);
    EXPECT_EQ(usage.allocated_bytes, bytes);
    EXPECT_EQ(usage.largest_free_bytes, largest_gap);
  }

 private:
  Arena* const arena_;
  std::vector<std::unique_ptr<Arena::Slot>> slots_;
};

uint64_t BytesOf(const Arena::Slot& slot) { return slot.allocated_bytes(); }

TEST(ArenaTest, SizesAreRoundedUpToTheUnit) {
  const auto region = MapRegion(kMiB);
  Arena arena(region.get());
  Slots slots(&arena);
  ASSERT_TRUE(slots.Add(1).ok());
  ASSERT_TRUE(slots.Add(Arena::kUnitBytes + 1).ok());
  EXPECT_EQ(slots.at(0)->allocated_bytes(), Arena::kUnitBytes);
  EXPECT_EQ(slots.at(1)->allocated_bytes(), 2 * Arena::kUnitBytes);
  EXPECT_EQ(Arena::AllocatedBytes(Arena::kUnitBytes), Arena::kUnitBytes);
  EXPECT_EQ(arena.usage().allocated_bytes, 3 * Arena::kUnitBytes);
}

TEST(ArenaTest, ImpossibleSizesAreRefused) {
  const auto region = MapRegion(kMiB);
  Arena arena(region.get());
  Slots slots(&arena);
  for (const uint64_t size :
       {uint64_t{0}, kMaxBlockBytes + 1, uint64_t{1} << 63, UINT64_MAX}) {
    EXPECT_EQ(slots.Add(size).code(), absl::StatusCode::kInvalidArgument) << size;
  }
  EXPECT_EQ(slots.Add(kMiB + 1).code(), absl::StatusCode::kResourceExhausted);
  slots.Check();
}

TEST(ArenaTest, TheWholeRegionCanBeAllocatedAndComesBackAsOneRun) {
  const auto region = MapRegion(kMiB);
  Arena arena(region.get());
  Slots slots(&arena);
  while (slots.Add(64 * kKiB).ok()) {
  }
  EXPECT_EQ(slots.size(), kMiB / (64 * kKiB));
  EXPECT_EQ(arena.usage().largest_free_bytes, 0u);
  std::mt19937_64 random(1);
  while (slots.size() > 0) {
    slots.FreeAt(random() % slots.size());
    slots.Check();
  }
  EXPECT_EQ(arena.usage().largest_free_bytes, kMiB);
  EXPECT_EQ(arena.usage().free_runs, 1u);
}

TEST(ArenaTest, TheSmallestRunThatFitsIsTaken) {
  const auto region = MapRegion(kMiB);
  Arena arena(region.get());
  Slots slots(&arena);
  for (const uint64_t size : {32, 4, 16, 4, 8, 4})
    ASSERT_TRUE(slots.Add(size * kKiB).ok());
  const uint64_t hole_of_8 = slots.at(4)->offset_bytes();
  slots.FreeAt(4);
  slots.FreeAt(2);
  slots.FreeAt(0);
  ASSERT_TRUE(slots.Add(8 * kKiB).ok());
  EXPECT_EQ(slots.at(slots.size() - 1)->offset_bytes(), hole_of_8);
  slots.Check();
}

TEST(ArenaTest, RandomChurnNeverOverlapsAndCountsExactly) {
  const auto region = MapRegion(8 * kMiB);
  Arena arena(region.get());
  for (const uint64_t seed : {1, 2, 3}) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    Slots slots(&arena);
    for (int step = 0; step < 3000; ++step) {
      const uint64_t size = 1 + random() % (uint64_t{1} << (8 + random() % 12));
      const bool added = random() % 5 < 3 && slots.Add(size).ok();
      if (!added && slots.size() > 0) slots.FreeAt(random() % slots.size());
      if (step % 50 == 0) slots.Check();
    }
    slots.Check();
  }
}

TEST(ArenaTest, AWindowJoinsFreeRunsAndTheCheapestSlotsBetweenThem) {
  const auto region = MapRegion(kMiB);
  Arena arena(region.get());
  Slots slots(&arena);
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(slots.Add(64 * kKiB).ok());
  Arena::Slot* const between = slots.at(5);
  Arena::Slot* const seed = slots.at(10);
  slots.FreeAt(6);  // moves 15 to 6
  slots.FreeAt(4);  // moves 14 to 4
  std::vector<Arena::Slot*> taken;
  const std::vector<Arena::Slot*> seeds = {seed};
  ASSERT_TRUE(
      arena.FindWindow({.size_bytes = 192 * kKiB,
                        .seeds = seeds,
                        .cost = BytesOf,
                        .take = [&](Arena::Slot* slot) { taken.push_back(slot); }}));
  EXPECT_EQ(taken, std::vector<Arena::Slot*>{between});
}

TEST(ArenaTest, AWindowNeverHoldsAnImmovableSlot) {
  const auto region = MapRegion(kMiB);
  Arena arena(region.get());
  Slots slots(&arena);
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(slots.Add(64 * kKiB).ok());
  // Every third slot is immovable: two neighbours can go, three cannot.
  const auto cost = [](const Arena::Slot& slot) {
    const uint64_t number = slot.offset_bytes() / (64 * kKiB);
    return number % 3 == 0 ? Arena::kImmovable : slot.allocated_bytes();
  };
  std::vector<uint64_t> offsets;
  const auto take = [&](Arena::Slot* slot) { offsets.push_back(slot->offset_bytes()); };
  EXPECT_FALSE(arena.FindWindow(
      {.size_bytes = 192 * kKiB, .everywhere = true, .cost = cost, .take = take}));
  EXPECT_TRUE(offsets.empty());
  EXPECT_TRUE(arena.FindWindow(
      {.size_bytes = 128 * kKiB, .everywhere = true, .cost = cost, .take = take}));
  EXPECT_EQ(offsets, (std::vector<uint64_t>{64 * kKiB, 128 * kKiB}));
}

// What CheapestWindow promises, by trying every window.
uint64_t CheapestByTrial(const std::vector<WindowPiece>& pieces, uint64_t units) {
  uint64_t best = kImmovablePiece;
  for (size_t first = 0; first < pieces.size(); ++first) {
    uint64_t sum = 0, cost = 0;
    for (size_t i = first; i < pieces.size() && pieces[i].cost != kImmovablePiece; ++i) {
      sum += pieces[i].units;
      cost += pieces[i].cost;
      if (sum >= units) best = std::min(best, cost);
    }
  }
  return best;
}

TEST(ArenaWindowTest, TheCheapestWindowIsTheOneThatTrialFinds) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 2000; ++round) {
    std::vector<WindowPiece> pieces(random() % 20);
    for (WindowPiece& piece : pieces) {
      piece = {
          .units = 1 + random() % 8,
          .cost = random() % 6 == 0 ? kImmovablePiece : random() % 3 * (random() % 10)};
    }
    const uint64_t units = 1 + random() % 24;
    const WindowRange range = CheapestWindow(pieces, units);
    ASSERT_EQ(range.cost, CheapestByTrial(pieces, units)) << "round " << round;
    uint64_t sum = 0, cost = 0;
    for (size_t i = range.first; i < range.end; ++i) {
      sum += pieces[i].units;
      cost += pieces[i].cost;
    }
    if (range.cost == kImmovablePiece) continue;
    EXPECT_GE(sum, units);
    EXPECT_EQ(cost, range.cost);
  }
}

}  // namespace
}  // namespace kvasir
