#include "service/key_removal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "base/limits.h"
#include "base/region.h"
#include "tests/support/fake_tier.h"
#include "tests/support/flaky_tier.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"

namespace kvasir {
namespace {

using Removed = TieredStore::Removed;
using testing::ElementsAre;

constexpr uint64_t kArenaBytes = kMiB;

class KeyRemovalTest : public ::testing::Test {
 protected:
  KeyRemovalTest() { store_.Attach(&disk_); }

  void Put(const std::string& key) {
    absl::StatusOr<Reservation> made = store_.Reserve(key, {.size_bytes = 64});
    ASSERT_TRUE(made.ok()) << made.status();
    const uint64_t checksum = BlockChecksum(ChecksumSeed(key), made->bytes());
    ASSERT_TRUE(store_.Commit(*std::move(made), checksum, Durability::kNone).ok());
  }
  void Save() {
    while (!store_.SaveStep()) writes_.RunAll();
  }
  void Remove(const std::vector<std::string>& keys) {
    removal_ = std::make_unique<KeyRemoval>(
        &store_, keys, [this](const std::vector<Removed>& removed) { removed_ = removed; });
    removal_->Run();
  }

  ManualClock clock_;
  ManualExecutor writes_, loads_;
  FakeTier fake_{16 * kMiB};
  FlakyTier disk_{&fake_};
  const std::unique_ptr<Region> region_ = *Region::Map({.size_bytes = kArenaBytes});
  Arena arena_{region_.get()};
  TieredStore store_{&arena_, {}, &clock_, &writes_, &loads_};
  std::unique_ptr<KeyRemoval> removal_;
  std::optional<std::vector<Removed>> removed_;  // once it has ended
};

TEST_F(KeyRemovalTest, EndsOnceTheDiskHasDeletedWhatItRemoved) {
  Put("on-disk");
  Put("too");
  Save();
  Put("memory-only");
  Remove({"on-disk", "absent", "memory-only", "too"});
  EXPECT_FALSE(removed_.has_value());
  EXPECT_EQ(store_.List("", "", 10).size(), 0);
  writes_.RunAll();
  ASSERT_TRUE(removed_.has_value());
  EXPECT_THAT(*removed_, ElementsAre(Removed::kRemoved, Removed::kAbsent,
                                     Removed::kRemoved, Removed::kRemoved));
  EXPECT_EQ(fake_.stats().blocks, 0);
}

TEST_F(KeyRemovalTest, EndsAtOnceWithoutTheDisk) {
  Put("memory-only");
  Remove({"memory-only", "memory-only"});
  ASSERT_TRUE(removed_.has_value());
  EXPECT_THAT(*removed_, ElementsAre(Removed::kRemoved, Removed::kAbsent));
}

TEST_F(KeyRemovalTest, KeyThatIsNamedTwiceIsGoneTwice) {
  Put("on-disk");
  Save();
  Remove({"on-disk", "on-disk"});
  writes_.RunAll();
  ASSERT_TRUE(removed_.has_value());
  EXPECT_THAT(*removed_, ElementsAre(Removed::kRemoved, Removed::kRemoved));
}

TEST_F(KeyRemovalTest, RemovalThatTheDiskFailsIsToldSo) {
  Put("on-disk");
  Save();
  Put("memory-only");
  disk_.FailDeletes(absl::UnavailableError("EIO"));
  Remove({"on-disk", "memory-only"});
  writes_.RunAll();
  ASSERT_TRUE(removed_.has_value());
  EXPECT_THAT(*removed_, ElementsAre(Removed::kFailed, Removed::kRemoved));
}

}  // namespace
}  // namespace kvasir
