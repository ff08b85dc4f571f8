// The real server on a disk that somebody else fills: what was promised stays, nothing more
// is promised, everything else goes on, and it ends by itself.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "base/limits.h"
#include "tests/integration/faults/disk_trial.h"
#include "tests/integration/faults/small_disk.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr uint64_t kDiskBytes = 48 * kMiB;
constexpr milliseconds kShownWithin{10'000};
constexpr milliseconds kWellWithin{30'000};
// More than the disk has room for, should nobody refuse.
constexpr size_t kPutsMax = 2'000;

class FullDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto disk = SmallDisk::Mount(directory_, kDiskBytes);
    if (!disk.ok()) GTEST_SKIP() << "FullDiskTest needs a small disk: " << disk.status();
    disk_ = *std::move(disk);
    trial_ = std::make_unique<DiskTrial>(
        DiskTrial::Options{.data_dir = directory_ + "/data", .faults = ""});
    ASSERT_TRUE(trial_->Start().ok());
    ASSERT_TRUE(trial_->PutMoreThanMemoryHolds().ok());
  }
  // Fills the disk under durable puts, until one is refused.
  void FillUnderPuts() {
    std::thread filler([this] { disk_->Fill(); });
    absl::Status status;
    for (size_t i = 0; i < kPutsMax && status.ok(); ++i) {
      status = trial_->Put(Durability::kPower);
    }
    filler.join();
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(trial_->Await(TierState::kDbReadOnly, kShownWithin),
                HasSubstr("DB_READ_ONLY: stores fail"));
    EXPECT_THAT(trial_->Info(), HasSubstr("DB_READ_ONLY: stores fail"));
  }

  const std::string directory_ = ::testing::TempDir() + "kvasir_full_disk";
  std::unique_ptr<SmallDisk> disk_;
  std::unique_ptr<DiskTrial> trial_;
};

TEST_F(FullDiskTest, ReadsAndPutsInMemoryGoOnAndItIsWellAgainOnceThereIsRoom) {
  FillUnderPuts();
  for (const Durability durability : {Durability::kProcess, Durability::kPower}) {
    const absl::Status refused = trial_->Put(durability);
    EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  }
  EXPECT_TRUE(trial_->Put(Durability::kNone).ok());
  EXPECT_EQ(trial_->Look(), "");
  disk_->Relieve();
  // Nobody calls: it finds out by itself.
  EXPECT_EQ(trial_->Await(TierState::kHealthy, kWellWithin), "ok\n") << trial_->log();
  const absl::Status again = trial_->PutDurably(8);
  EXPECT_TRUE(again.ok()) << again;
  const absl::Status removed = trial_->RemoveLast();
  EXPECT_TRUE(removed.ok()) << removed;
  trial_->Kill();
  ASSERT_TRUE(trial_->Start().ok());
  EXPECT_EQ(trial_->Look(), "");
  EXPECT_EQ(trial_->Metric("tier_lost_blocks"), 0);
}

TEST_F(FullDiskTest, AKillAndAStartWhileItIsFullLoseNothingThatWasPromised) {
  FillUnderPuts();
  trial_->Kill();
  disk_->Fill();
  const absl::Status started = trial_->Start();
  ASSERT_TRUE(started.ok()) << started;
  const absl::Status refused = trial_->Put(Durability::kProcess);
  EXPECT_TRUE(absl::IsResourceExhausted(refused) || absl::IsUnavailable(refused))
      << refused;
  EXPECT_THAT(trial_->Await(TierState::kDbReadOnly, kShownWithin),
              HasSubstr("DB_READ_ONLY: stores fail"));
  EXPECT_EQ(trial_->Look(), "");
  disk_->Relieve();
  EXPECT_EQ(trial_->Await(TierState::kHealthy, kWellWithin), "ok\n") << trial_->log();
  EXPECT_EQ(trial_->Look(), "");
  EXPECT_EQ(trial_->Metric("tier_lost_blocks"), 0);
  EXPECT_TRUE(trial_->PutDurably(1).ok());
}

}  // namespace
}  // namespace kvasir
