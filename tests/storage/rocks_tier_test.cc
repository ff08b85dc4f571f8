// What the contract does not say: the directory, and what recovery tells.

#include "storage/rocks_tier.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "gtest/gtest.h"
#include "tests/storage/tier_batch.h"
#include "tests/storage/tier_files.h"

namespace kvasir {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kCapacityBytes = 64 * kMiB;

class RocksTierTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<RocksTier>> TryOpen(
      uint64_t capacity_bytes = kCapacityBytes) {
    return RocksTier::Open({.directory = files_.tier(), .capacity_bytes = capacity_bytes},
                           {});
  }
  std::unique_ptr<RocksTier> Open(uint64_t capacity_bytes = kCapacityBytes) {
    auto tier = TryOpen(capacity_bytes);
    EXPECT_TRUE(tier.ok()) << tier.status();
    KV_CHECK(tier.ok());
    return *std::move(tier);
  }
  static void StoreMany(Tier* tier, size_t first, size_t count,
                        Durability durability = Durability::kProcess) {
    TierBatch batch;
    for (size_t i = first; i < first + count; ++i) {
      batch.Add(absl::StrCat("key-", i), i + 1, 10'000);
    }
    ASSERT_TRUE(tier->Store(batch.records(), durability).ok());
  }
  static uint64_t Readable(Tier* tier) {
    uint64_t readable = 0;
    for (const Tier::Listed& listed : tier->List("", "", 1'000'000)) {
      readable += LoadDescribed(tier, listed.key, listed.block).ok();
    }
    return readable;
  }
  // Leaves the database of before `work`, with the log of after: what a disk that forgot
  // its last writes would leave.
  void LoseAllButTheLogOf(const std::function<void(RocksTier* tier)>& work) {
    const std::string before = files_.path() + "/before";
    fs::copy(files_.tier(), before, fs::copy_options::recursive);
    work(Open().get());
    const std::vector<fs::path> logs = Files(".log");
    ASSERT_EQ(logs.size(), 1u);
    for (const auto& file : fs::directory_iterator(before + "/db")) {
      if (file.path().extension() == ".log") {
        fs::copy_file(logs[0], file.path(), fs::copy_options::overwrite_existing);
      }
    }
    fs::remove_all(files_.tier());
    fs::rename(before, files_.tier());
  }
  std::vector<fs::path> Files(const std::string& extension) {
    std::vector<fs::path> found;
    for (const auto& file : fs::directory_iterator(files_.tier() + "/db")) {
      if (file.path().extension() == extension) found.push_back(file.path());
    }
    return found;
  }

  const TierFiles files_;
};

TEST_F(RocksTierTest, SecondTierOnOneDirectoryIsRefused) {
  const auto first = Open();
  EXPECT_EQ(TryOpen().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RocksTierTest, UnreadableDatabaseIsDataLossAndCanBeSetAside) {
  StoreMany(Open().get(), 0, 10);
  std::ofstream(files_.tier() + "/db/CURRENT") << "MANIFEST-nonsense\n";
  EXPECT_EQ(TryOpen().status().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(RocksTier::SetAside(files_.tier()).ok());
  const auto tier = Open();
  EXPECT_EQ(tier->stats().blocks, 0u);
  StoreMany(tier.get(), 0, 10);
  EXPECT_EQ(Readable(tier.get()), 10u);
}

TEST_F(RocksTierTest, MissingCurrentIsDataLossAndNothingIsDeleted) {
  StoreMany(Open().get(), 0, 10);
  fs::remove(files_.tier() + "/db/CURRENT");
  const size_t tables = Files(".sst").size();
  EXPECT_EQ(TryOpen().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Files(".sst").size(), tables);
}

TEST_F(RocksTierTest, ProgressEndsAtTheTotal) {
  {
    const auto tier = Open();
    for (size_t i = 0; i < 5; ++i) StoreMany(tier.get(), 50 * i, 50);
  }
  std::vector<std::pair<uint64_t, uint64_t>> heard;
  const auto tier = RocksTier::Open(
      {.directory = files_.tier(), .capacity_bytes = kCapacityBytes},
      [&](uint64_t keys, uint64_t total) { heard.emplace_back(keys, total); });
  ASSERT_TRUE(tier.ok());
  ASSERT_EQ(heard.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(heard[i], std::make_pair(uint64_t{50} * (i + 1), uint64_t{250}));
  }
}

TEST_F(RocksTierTest, SmallerBudgetDropsTheOldestAtOpen) {
  {
    const auto tier = Open();
    for (size_t i = 0; i < 40; ++i) StoreMany(tier.get(), 100 * i, 100);
  }
  const auto tier = Open(16 * kMiB);
  EXPECT_LE(tier->stats().used_bytes, 16 * kMiB);
  EXPECT_FALSE(tier->Find("key-0").has_value());
  EXPECT_TRUE(tier->Find("key-3999").has_value());
  EXPECT_EQ(Readable(tier.get()), tier->stats().blocks);
}

TEST_F(RocksTierTest, LossOfDurableBlocksIsCountedOnce) {
  StoreMany(Open().get(), 0, 100, Durability::kPower);
  LoseAllButTheLogOf([](RocksTier* tier) {
    StoreMany(tier, 100, 30, Durability::kProcess);
    StoreMany(tier, 200, 12, Durability::kNone);
  });
  {
    const auto tier = Open();
    EXPECT_EQ(tier->stats().recovered_blocks, 100u);
    EXPECT_EQ(tier->stats().lost_blocks, 30u);
    EXPECT_EQ(Readable(tier.get()), 100u);
  }
  EXPECT_EQ(Open()->stats().lost_blocks, 0u);
}

TEST_F(RocksTierTest, LossOfBlocksThatWerePromisedLaterIsCountedOnce) {
  StoreMany(Open().get(), 0, 10, Durability::kPower);
  LoseAllButTheLogOf([](RocksTier* tier) {
    StoreMany(tier, 100, 8, Durability::kNone);
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(tier->Promise("key-100", 101).ok());
    EXPECT_TRUE(tier->Promise("key-101", 999).ok());
    // What is stored again, to make it durable, is not written again.
    StoreMany(tier, 102, 2, Durability::kPower);
    StoreMany(tier, 104, 1, Durability::kNone);
    EXPECT_TRUE(tier->Find("key-102")->promised);
    EXPECT_FALSE(tier->Find("key-104")->promised);
  });
  EXPECT_EQ(Open()->stats().lost_blocks, 3u);
  EXPECT_EQ(Open()->stats().lost_blocks, 0u);
}

TEST_F(RocksTierTest, PromiseOutlivesRestartsAndRewrites) {
  {
    const auto tier = Open();
    StoreMany(tier.get(), 0, 2, Durability::kNone);
    ASSERT_TRUE(tier->Promise("key-0", 1).ok());
  }
  constexpr size_t kStores = 100;
  {
    const auto tier = Open();
    EXPECT_TRUE(tier->Find("key-0")->promised);
    EXPECT_FALSE(tier->Find("key-1")->promised);
    for (size_t i = 0; i < kStores; ++i) StoreMany(tier.get(), 10 + i, 1);
  }
  EXPECT_LT(Files(".sst").size(), kStores / 2);
  const auto tier = Open();
  EXPECT_TRUE(tier->Find("key-0")->promised);
  EXPECT_FALSE(tier->Find("key-1")->promised);
}

TEST_F(RocksTierTest, ManySmallStoresDoNotLeaveManyFiles) {
  const auto tier = Open();
  constexpr size_t kStores = 300;
  for (size_t i = 0; i < kStores; ++i) StoreMany(tier.get(), i, 1);
  EXPECT_LT(Files(".sst").size(), 60u);
  EXPECT_EQ(Readable(tier.get()), kStores);
  // Merged a few times each, not once a Store.
  EXPECT_LT(tier->stats().written_bytes, 8 * kStores * 20'000);
}

TEST_F(RocksTierTest, DamagedBlockIsDroppedAndOlderOnesDoNotComeBack) {
  TierBatch old_and_new[2];
  old_and_new[0].Add("a", 1, 50'000);
  old_and_new[1].Add("a", 2, 50'000);
  {
    const auto tier = Open();
    ASSERT_TRUE(tier->Store(old_and_new[0].records(), Durability::kPower).ok());
    // Keeps the first segment alive.
    StoreMany(tier.get(), 0, 20);
    ASSERT_TRUE(tier->Store(old_and_new[1].records(), Durability::kPower).ok());
  }
  fs::path newest;
  for (const fs::path& file : Files(".sst")) {
    if (fs::file_size(file) > 50'000 && fs::file_size(file) < 100'000) {
      if (newest.empty() || file > newest) newest = file;
    }
  }
  ASSERT_FALSE(newest.empty());
  {
    std::fstream file(newest, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(30'000);
    file.put('!');
  }
  for (int i = 0; i < 2; ++i) {
    const auto tier = Open();
    const std::optional<TierBlock> found = tier->Find("a");
    if (!found) continue;
    ASSERT_EQ(found->generation, 2u);
    EXPECT_EQ(LoadDescribed(tier.get(), "a", *found).code(), absl::StatusCode::kDataLoss);
    EXPECT_FALSE(tier->Find("a").has_value());
    EXPECT_EQ(tier->stats().corrupt_blocks, 1u);
    // It may be stored again.
    if (i == 1) {
      ASSERT_TRUE(tier->Store(old_and_new[1].records(), Durability::kPower).ok());
      EXPECT_TRUE(LoadDescribed(tier.get(), "a", *tier->Find("a")).ok());
    }
  }
}

}  // namespace
}  // namespace kvasir
