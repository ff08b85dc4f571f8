#include "service/clearing.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "base/checksum.h"
#include "base/limits.h"
#include "base/region.h"
#include "tests/support/fake_tier.h"
#include "tests/support/flaky_tier.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"

namespace kvasir {
namespace {

constexpr uint64_t kArenaBytes = 16 * kMiB;

class ClearingTest : public ::testing::Test {
 protected:
  ClearingTest() { store_.Attach(&disk_); }

  void Put(const std::string& key) {
    absl::StatusOr<Reservation> made = store_.Reserve(key, {.size_bytes = 64});
    ASSERT_TRUE(made.ok()) << made.status();
    const uint64_t checksum = BlockChecksum(ChecksumSeed(key), made->bytes());
    ASSERT_TRUE(store_.Commit(*std::move(made), checksum, Durability::kNone).ok());
  }
  void Save() {
    while (!store_.SaveStep()) writes_.RunAll();
  }
  void Clear(const std::string& prefix) {
    clearing_ = std::make_unique<Clearing>(
        &store_, Clearing::Options{
                     .prefix = prefix,
                     .cancelled = [this] { return cancelled_; },
                     .done =
                         [this](const absl::Status& status, uint64_t removed_count) {
                           status_ = status;
                           removed_count_ = removed_count;
                         }});
    clearing_->Run();
  }

  ManualClock clock_;
  ManualExecutor writes_, loads_;
  FakeTier fake_{16 * kMiB};
  FlakyTier disk_{&fake_};
  const std::unique_ptr<Region> region_ = *Region::Map({.size_bytes = kArenaBytes});
  Arena arena_{region_.get()};
  TieredStore store_{&arena_, {}, &clock_, &writes_, &loads_};
  std::unique_ptr<Clearing> clearing_;
  bool cancelled_ = false;
  std::optional<absl::Status> status_;  // once it has ended
  uint64_t removed_count_ = 0;
};

TEST_F(ClearingTest, EndsOnceTheDiskHasDeletedWhatItRemoved) {
  for (int i = 0; i < 5; ++i) Put("a" + std::to_string(i));
  Save();
  Put("a-memory-only");
  Put("b");
  Clear("a");
  EXPECT_FALSE(status_.has_value());
  EXPECT_EQ(store_.List("a", "", 10).size(), 0);
  EXPECT_EQ(fake_.stats().blocks, 5);
  writes_.RunAll();
  EXPECT_EQ(status_, absl::OkStatus());
  EXPECT_EQ(removed_count_, 6);
  EXPECT_EQ(fake_.stats().blocks, 0);
  EXPECT_EQ(store_.List("", "", 10).size(), 1);
}

TEST_F(ClearingTest, WaitsForThePageBeforeTheNext) {
  constexpr size_t kKeys = 2 * kMaxListPageSize + 500;
  for (size_t i = 0; i < kKeys; ++i) Put("k" + std::to_string(i));
  Save();
  Clear("");
  EXPECT_EQ(store_.stats().erasures, kMaxListPageSize);
  EXPECT_EQ(store_.List("", "", kKeys).size(), kKeys - kMaxListPageSize);
  writes_.RunAll();
  EXPECT_EQ(status_, absl::OkStatus());
  EXPECT_EQ(removed_count_, kKeys);
  EXPECT_EQ(fake_.stats().blocks, 0);
}

TEST_F(ClearingTest, RemovalThatTheDiskFailsIsNotCounted) {
  for (int i = 0; i < 3; ++i) Put("k" + std::to_string(i));
  Save();
  Put("memory-only");
  disk_.FailDeletes(absl::UnavailableError("EIO"));
  Clear("");
  writes_.RunAll();
  ASSERT_TRUE(status_.has_value());
  EXPECT_EQ(status_->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(removed_count_, 1);
}

TEST_F(ClearingTest, RemovalThatTheDiskCannotTakeIsNotCounted) {
  for (int i = 0; i < 3; ++i) Put("k" + std::to_string(i));
  Save();
  disk_.FailStores(absl::ResourceExhaustedError("no space"));
  Put("memory-only");
  while (!store_.SaveStep()) writes_.RunAll();
  writes_.RunAll();
  ASSERT_EQ(store_.health()->state(), TierState::kDbReadOnly);
  Clear("");
  ASSERT_TRUE(status_.has_value());
  EXPECT_EQ(status_->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(removed_count_, 1);
  EXPECT_EQ(fake_.stats().blocks, 3);
}

TEST_F(ClearingTest, StopsBetweenPagesOnceCancelled) {
  for (size_t i = 0; i < kMaxListPageSize + 1; ++i) Put("k" + std::to_string(i));
  Save();
  Clear("");
  cancelled_ = true;
  writes_.RunAll();
  ASSERT_TRUE(status_.has_value());
  EXPECT_EQ(status_->code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(fake_.stats().blocks, 1);
}

TEST_F(ClearingTest, BlockThatIsPutMeanwhileIsNotRemovedForItsOlderOne) {
  Put("k");
  Save();
  Clear("");
  Put("k");
  writes_.RunAll();
  EXPECT_EQ(status_, absl::OkStatus());
  EXPECT_EQ(removed_count_, 1);
  EXPECT_EQ(store_.Probe("k"), Residency::kMemory);
}

}  // namespace
}  // namespace kvasir
