#include <atomic>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/executor.h"
#include "gtest/gtest.h"
#include "storage/disk_format.h"
#include "storage/tier_catalog.h"

namespace kvasir {
namespace {

constexpr int kThreads = 4;
constexpr int kSteps = 4000;

// A block's size tells its generation, so that a torn entry shows.
ListingEntry Record(std::string_view key, uint64_t generation) {
  return {.record = {.key = key,
                     .generation = generation,
                     .size_bytes = 3 * generation,
                     .checksum = 5 * generation}};
}

void Step(TierCatalog* catalog, std::mt19937_64& random, std::atomic<uint64_t>* next) {
  const std::string key = absl::StrCat("key", random() % 20);
  const uint64_t generation = next->fetch_add(1) + 1;
  switch (random() % 6) {
    case 0:
    case 1:
      catalog->Place(Record(key, generation), 1 + random() % 9);
      break;
    case 2:
      catalog->Hide(key, generation);
      EXPECT_FALSE(catalog->Wants(key, generation));
      break;
    case 3:
      catalog->DropSegment(1 + random() % 9);
      break;
    case 4:
      for (const Tier::Listed& listed : catalog->List("", "", 7)) {
        EXPECT_EQ(listed.block.info.size_bytes, 3 * listed.block.generation);
      }
      break;
    case 5:
      if (const std::optional<TierBlock> found = catalog->Find(key)) {
        EXPECT_EQ(found->info.checksum, 5 * found->generation);
        catalog->Use(key, found->generation);
        catalog->Locate(key, found->generation);
      }
      break;
  }
}

TEST(TierCatalog, ThreadsOnTheSameKeysSeeWholeEntries) {
  TierCatalog catalog;
  std::atomic<uint64_t> next{0};
  {
    ThreadPool pool({.name = "catalog-users", .threads = kThreads});
    for (int thread = 0; thread < kThreads; ++thread) {
      ASSERT_TRUE(pool.Submit([&, thread] {
        std::mt19937_64 random(thread);
        for (int i = 0; i < kSteps; ++i) Step(&catalog, random, &next);
      }));
    }
  }
  uint64_t bytes = 0;
  const std::vector<Tier::Listed> listed = catalog.List("", "", 100);
  for (const Tier::Listed& block : listed) bytes += block.block.info.size_bytes;
  EXPECT_EQ(catalog.blocks(), listed.size());
  EXPECT_EQ(catalog.block_bytes(), bytes);
}

}  // namespace
}  // namespace kvasir
