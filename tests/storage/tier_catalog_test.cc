#include "storage/tier_catalog.h"

#include <map>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace kvasir {
namespace {

ListingEntry Record(std::string_view key, uint64_t generation, uint64_t size_bytes) {
  return {.record = {.key = key,
                     .generation = generation,
                     .size_bytes = size_bytes,
                     .checksum = size_bytes * 7,
                     .attributes = "attr"}};
}

uint64_t GenerationOf(const TierCatalog& catalog, std::string_view key) {
  const std::optional<TierBlock> found = catalog.Find(key);
  return found ? found->generation : 0;
}

TEST(TierCatalog, BlockIsPromisedOnceThatIsNotedUntilAnotherTakesItsPlace) {
  TierCatalog catalog;
  ASSERT_TRUE(catalog.Place(Record("a", 3, 100), 1).live);
  EXPECT_FALSE(catalog.Find("a")->promised);
  catalog.Promise("a", 2);
  EXPECT_FALSE(catalog.Find("a")->promised);
  catalog.Promise("a", 3);
  EXPECT_TRUE(catalog.Find("a")->promised);
  EXPECT_TRUE(catalog.Locate("a", 3).promised);
  ASSERT_TRUE(catalog.Place(Record("a", 4, 100), 2).live);
  EXPECT_FALSE(catalog.Find("a")->promised);
}

TEST(TierCatalog, FindTellsWhatWasPlaced) {
  TierCatalog catalog;
  EXPECT_TRUE(catalog.Place(Record("a", 3, 100), 1).live);
  const std::optional<TierBlock> found = catalog.Find("a");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->generation, 3u);
  EXPECT_EQ(found->info.size_bytes, 100u);
  EXPECT_EQ(found->info.checksum, 700u);
  EXPECT_EQ(found->info.attributes, "attr");
  EXPECT_FALSE(catalog.Find("b").has_value());
}

TEST(TierCatalog, NewerReplacesOlderAndSaysWhatIsGone) {
  TierCatalog catalog;
  ASSERT_TRUE(catalog.Place(Record("a", 1, 100), 7).live);
  EXPECT_TRUE(catalog.Wants("a", 2));
  const TierCatalog::Placed placed = catalog.Place(Record("a", 2, 50), 8);
  EXPECT_TRUE(placed.live);
  EXPECT_EQ(placed.gone.segment, 7u);
  EXPECT_EQ(placed.gone.size_bytes, 100u);
  EXPECT_FALSE(catalog.Wants("a", 2));
  EXPECT_FALSE(catalog.Place(Record("a", 1, 100), 9).live);
  EXPECT_EQ(catalog.blocks(), 1u);
  EXPECT_EQ(catalog.block_bytes(), 50u);
}

TEST(TierCatalog, SameGenerationMovesToALaterSegmentOnly) {
  TierCatalog catalog;
  ASSERT_TRUE(catalog.Place(Record("a", 1, 100), 7).live);
  EXPECT_FALSE(catalog.Place(Record("a", 1, 100), 6).live);
  EXPECT_EQ(catalog.Locate("a", 1).segment, 7u);
  EXPECT_EQ(catalog.Place(Record("a", 1, 100), 8).gone.segment, 7u);
  EXPECT_EQ(catalog.Locate("a", 1).segment, 8u);
}

TEST(TierCatalog, HiddenGenerationsAreNotWanted) {
  TierCatalog catalog;
  EXPECT_EQ(catalog.Hide("a", 3).segment, TierCatalog::kNoSegment);
  EXPECT_FALSE(catalog.Wants("a", 3));
  EXPECT_FALSE(catalog.Place(Record("a", 3, 1), 1).live);
  EXPECT_TRUE(catalog.Place(Record("a", 4, 1), 1).live);
  EXPECT_EQ(catalog.hidden(), 1u);
}

TEST(TierCatalog, HideEndsOlderBlocksOnly) {
  TierCatalog catalog;
  ASSERT_TRUE(catalog.Place(Record("a", 5, 10), 2).live);
  EXPECT_EQ(catalog.Hide("a", 4).segment, TierCatalog::kNoSegment);
  EXPECT_EQ(GenerationOf(catalog, "a"), 5u);
  EXPECT_EQ(catalog.Hide("a", 5).segment, 2u);
  EXPECT_EQ(GenerationOf(catalog, "a"), 0u);
  EXPECT_EQ(catalog.blocks(), 0u);
  EXPECT_EQ(catalog.block_bytes(), 0u);
}

TEST(TierCatalog, HidingOutlivesTheNewerBlockThatIsDropped) {
  TierCatalog catalog;
  catalog.Hide("a", 3);
  ASSERT_TRUE(catalog.Place(Record("a", 4, 1), 1).live);
  EXPECT_EQ(catalog.Drop("a", 4, 1).segment, 1u);
  EXPECT_FALSE(catalog.Wants("a", 3));
  EXPECT_TRUE(catalog.Wants("a", 4));
}

TEST(TierCatalog, ForgetEndsHidingUnlessMoreWasHiddenSince) {
  TierCatalog catalog;
  catalog.Hide("a", 3);
  catalog.Hide("a", 5);
  catalog.Forget("a", 3);
  EXPECT_FALSE(catalog.Wants("a", 5));
  catalog.Forget("a", 5);
  EXPECT_TRUE(catalog.Wants("a", 1));
  EXPECT_EQ(catalog.hidden(), 0u);
}

TEST(TierCatalog, DropLeavesABlockThatHasMoved) {
  TierCatalog catalog;
  ASSERT_TRUE(catalog.Place(Record("a", 1, 1), 1).live);
  ASSERT_TRUE(catalog.Place(Record("a", 1, 1), 2).live);
  EXPECT_EQ(catalog.Drop("a", 1, 1).segment, TierCatalog::kNoSegment);
  EXPECT_EQ(GenerationOf(catalog, "a"), 1u);
}

TEST(TierCatalog, DropSegmentTakesItsBlocksAndNoOthers) {
  TierCatalog catalog;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(catalog.Place(Record(absl::StrCat("k", i), 1, 1), 1 + i % 2).live);
  }
  EXPECT_EQ(catalog.DropSegment(1).size(), 50u);
  EXPECT_EQ(catalog.blocks(), 50u);
  EXPECT_EQ(GenerationOf(catalog, "k0"), 0u);
  EXPECT_EQ(GenerationOf(catalog, "k1"), 1u);
}

TEST(TierCatalog, UseLastsUntilTheBlockMoves) {
  TierCatalog catalog;
  ASSERT_TRUE(catalog.Place(Record("a", 1, 1), 1).live);
  EXPECT_FALSE(catalog.Locate("a", 1).used);
  catalog.Use("a", 2);
  EXPECT_FALSE(catalog.Locate("a", 1).used);
  catalog.Use("a", 1);
  EXPECT_TRUE(catalog.Locate("a", 1).used);
  ASSERT_TRUE(catalog.Place(Record("a", 1, 1), 2).live);
  EXPECT_FALSE(catalog.Locate("a", 1).used);
}

TEST(TierCatalog, MemoryIsGivenBack) {
  TierCatalog catalog;
  const uint64_t before = catalog.memory_bytes();
  for (int i = 0; i < 1000; ++i) catalog.Place(Record(absl::StrCat(i), 1, 1), 1);
  EXPECT_GT(catalog.memory_bytes(), before + 1000 * sizeof(uint64_t) * 5);
  catalog.DropSegment(1);
  // The hash tables keep their slots.
  EXPECT_LT(catalog.memory_bytes(), before + 1000 * 64);
}

TEST(TierCatalog, AgreesWithAMapOverManyRandomSteps) {
  constexpr uint64_t kSeed = 20240607;
  std::mt19937_64 random(kSeed);
  TierCatalog catalog;
  std::map<std::string, uint64_t> live, hidden;
  for (int step = 0; step < 50'000; ++step) {
    const std::string key = absl::StrCat("key", random() % 50);
    const uint64_t generation = 1 + random() % 1000;
    switch (random() % 4) {
      case 0:
      case 1: {
        const bool wanted = generation > hidden[key] && generation > live[key];
        ASSERT_EQ(catalog.Wants(key, generation), wanted) << "seed " << kSeed;
        if (wanted) live[key] = generation;
        ASSERT_EQ(catalog.Place(Record(key, generation, generation), 1).live, wanted);
        break;
      }
      case 2:
        catalog.Hide(key, generation / 2);
        hidden[key] = std::max(hidden[key], generation / 2);
        if (live[key] <= hidden[key]) live[key] = 0;
        break;
      case 3:
        catalog.Drop(key, live[key], 1);
        live[key] = 0;
        break;
    }
    ASSERT_EQ(GenerationOf(catalog, key), live[key]) << "seed " << kSeed << " " << step;
  }
  uint64_t blocks = 0;
  std::vector<std::string> keys;
  for (const auto& [key, generation] : live) {
    if (generation == 0) continue;
    ++blocks;
    keys.push_back(key);
  }
  EXPECT_EQ(catalog.blocks(), blocks);
  const std::vector<Tier::Listed> listed = catalog.List("", "", 1000);
  ASSERT_EQ(listed.size(), keys.size());
  for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(listed[i].key, keys[i]);
}

}  // namespace
}  // namespace kvasir
