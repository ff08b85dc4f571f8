// A disk that takes no writes when the tier is opened: what is there can be read, nothing
// is promised, and it ends without opening the tier again.

#include <rocksdb/file_system.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "base/check.h"
#include "base/limits.h"
#include "gtest/gtest.h"
#include "storage/rocks_tier.h"
#include "tests/storage/tier_batch.h"
#include "tests/storage/tier_files.h"

namespace kvasir {
namespace {

using rocksdb::FileOptions;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOStatus;

constexpr uint64_t kCapacityBytes = 64 * kMiB;

// No file can be made while it is full.
class FullFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  FullFileSystem() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "FullFileSystem"; }
  void set_full(bool full) { full_ = full; }

  IOStatus NewWritableFile(const std::string& name, const FileOptions& options,
                           std::unique_ptr<FSWritableFile>* file,
                           IODebugContext* debug) override {
    if (full_) return IOStatus::NoSpace("make " + name);
    return target()->NewWritableFile(name, options, file, debug);
  }

 private:
  std::atomic<bool> full_{false};
};

class RocksTierReadOnlyTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<RocksTier>> TryOpen() {
    return RocksTier::Open({.directory = files_.tier(),
                            .capacity_bytes = kCapacityBytes,
                            .env = env_.get()},
                           {});
  }
  std::unique_ptr<RocksTier> Open() {
    auto tier = TryOpen();
    EXPECT_TRUE(tier.ok()) << tier.status();
    KV_CHECK(tier.ok());
    return *std::move(tier);
  }
  static absl::Status Store(Tier* tier, const std::string& key, uint64_t generation) {
    return tier->Store(TierBatch().Add(key, generation, 10'000).records(),
                       Durability::kPower);
  }
  static absl::Status Delete(Tier* tier, const std::string& key, uint64_t generation) {
    const Tier::Tombstone tombstone{.key = key, .generation = generation};
    return tier->Delete({&tombstone, 1});
  }
  static absl::Status Load(Tier* tier, const std::string& key) {
    const std::optional<TierBlock> found = tier->Find(key);
    return found ? LoadDescribed(tier, key, *found) : absl::NotFoundError(key);
  }
  // Blocks "a" and "b", and a removed one.
  void Fill() {
    const auto tier = Open();
    EXPECT_TRUE(Store(tier.get(), "a", 1).ok());
    EXPECT_TRUE(Store(tier.get(), "b", 2).ok());
    EXPECT_TRUE(Store(tier.get(), "removed", 3).ok());
    EXPECT_TRUE(Delete(tier.get(), "removed", 4).ok());
  }

  const TierFiles files_;
  const std::shared_ptr<FullFileSystem> disk_ = std::make_shared<FullFileSystem>();
  const std::unique_ptr<rocksdb::Env> env_ = rocksdb::NewCompositeEnv(disk_);
};

TEST_F(RocksTierReadOnlyTest, WhatIsThereIsServedAndWritesAreRefused) {
  Fill();
  disk_->set_full(true);
  const auto tier = Open();
  EXPECT_EQ(tier->stats().recovered_blocks, 2u);
  EXPECT_EQ(tier->generation_max(), 4u);
  EXPECT_TRUE(Load(tier.get(), "a").ok());
  EXPECT_TRUE(Load(tier.get(), "b").ok());
  EXPECT_FALSE(tier->Find("removed").has_value());
  EXPECT_TRUE(absl::IsResourceExhausted(tier->Delete({})));
  EXPECT_TRUE(absl::IsResourceExhausted(Delete(tier.get(), "a", 5)));
  EXPECT_FALSE(Store(tier.get(), "c", 6).ok());
  EXPECT_FALSE(tier->Find("c").has_value());
}

TEST_F(RocksTierReadOnlyTest, ItTakesWritesAgainOnceTheDiskDoes) {
  Fill();
  disk_->set_full(true);
  const auto tier = Open();
  EXPECT_FALSE(Delete(tier.get(), "a", 5).ok());
  disk_->set_full(false);
  EXPECT_TRUE(Delete(tier.get(), "a", 5).ok());
  EXPECT_TRUE(Store(tier.get(), "c", 6).ok());
  EXPECT_TRUE(Load(tier.get(), "b").ok());
  EXPECT_TRUE(Load(tier.get(), "c").ok());
}

TEST_F(RocksTierReadOnlyTest, WhatWasDoneAfterwardsIsThereAtTheNextStart) {
  Fill();
  disk_->set_full(true);
  {
    const auto tier = Open();
    disk_->set_full(false);
    ASSERT_TRUE(Delete(tier.get(), "a", 5).ok());
    ASSERT_TRUE(Store(tier.get(), "c", 6).ok());
  }
  const auto tier = Open();
  EXPECT_FALSE(tier->Find("a").has_value());
  EXPECT_FALSE(tier->Find("removed").has_value());
  EXPECT_TRUE(Load(tier.get(), "b").ok());
  EXPECT_TRUE(Load(tier.get(), "c").ok());
}

TEST_F(RocksTierReadOnlyTest, NewTierNeedsRoomAndIsMadeOnceThereIs) {
  disk_->set_full(true);
  EXPECT_EQ(TryOpen().status().code(), absl::StatusCode::kResourceExhausted);
  disk_->set_full(false);
  const auto tier = Open();
  EXPECT_EQ(tier->generation_max(), 0u);
  EXPECT_TRUE(Store(tier.get(), "a", 1).ok());
}

TEST_F(RocksTierReadOnlyTest, DamageIsDamageOnAFullDiskToo) {
  Fill();
  std::ofstream(files_.tier() + "/db/CURRENT") << "MANIFEST-nonsense\n";
  disk_->set_full(true);
  EXPECT_EQ(TryOpen().status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace kvasir
