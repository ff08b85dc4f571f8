// The real server on a disk that answers EIO, or not at all: what was promised stays,
// nothing more is promised, what needs no disk goes on, and it ends by itself.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "tests/integration/faults/disk_trial.h"
#include "tests/integration/faults/faults.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr milliseconds kShownWithin{10'000};
constexpr milliseconds kWellWithin{30'000};
constexpr milliseconds kDeadline{3'000};
constexpr size_t kRefusals = 20;
constexpr size_t kReads = 5;
constexpr size_t kMoreThanMemoryHolds = 200;

class FailingDiskTest : public ::testing::Test {
 protected:
  FailingDiskTest() { std::filesystem::remove_all(directory_); }
  ~FailingDiskTest() override { std::filesystem::remove_all(directory_); }

  void SetUp() override {
    ASSERT_TRUE(trial_.Start().ok());
    ASSERT_TRUE(trial_.PutMoreThanMemoryHolds().ok());
  }
  void Begin(Fault fault) { Faults::Begin(faults_, fault); }
  void End(Fault fault) { Faults::End(faults_, fault); }
  // By itself, since nobody else calls.
  void ExpectWellAgain() {
    EXPECT_EQ(trial_.Await(TierState::kHealthy, kWellWithin), "ok\n") << trial_.log();
    const absl::Status put = trial_.PutDurably(8);
    EXPECT_TRUE(put.ok()) << put;
    EXPECT_EQ(trial_.Look(), "");
  }
  // The first to fail is then a write to the log of metadata, not one of a segment.
  void ExpectThatARemovalFailsAndItEnds(Fault fault) {
    ASSERT_TRUE(trial_.PutDurably(1).ok());
    Begin(fault);
    const absl::Status refused = trial_.RemoveLast();
    EXPECT_TRUE(absl::IsResourceExhausted(refused) || absl::IsUnavailable(refused))
        << refused;
    EXPECT_THAT(trial_.Await(TierState::kDbReadOnly, kShownWithin),
                HasSubstr("DB_READ_ONLY: stores fail"));
    EXPECT_TRUE(trial_.IsAHit(0, kDeadline));
    End(fault);
    ExpectWellAgain();
    const absl::Status removed = trial_.RemoveLast();
    EXPECT_TRUE(removed.ok()) << removed;
    ExpectAllKeptAfterAKill();
  }
  void ExpectAllKeptAfterAKill() {
    trial_.Kill();
    ASSERT_TRUE(trial_.Start().ok());
    EXPECT_EQ(trial_.Look(), "");
    EXPECT_EQ(trial_.Metric("tier_lost_blocks"), 0);
  }

  const std::string directory_ = ::testing::TempDir() + "kvasir_failing_disk";
  const std::string faults_ = directory_ + "/faults";
  DiskTrial trial_{{.data_dir = directory_ + "/data", .faults = faults_}};
};

TEST_F(FailingDiskTest, WriteErrorsEndDurablePutsAndNothingElse) {
  Begin(Fault::kWriteError);
  for (size_t i = 0; i < kRefusals; ++i) {
    const absl::Status refused = trial_.Put(Durability::kProcess);
    EXPECT_TRUE(absl::IsResourceExhausted(refused) || absl::IsUnavailable(refused))
        << refused;
  }
  EXPECT_THAT(trial_.Await(TierState::kDbReadOnly, kShownWithin),
              HasSubstr("DB_READ_ONLY: stores fail"));
  EXPECT_THAT(trial_.Info(), HasSubstr("DB_READ_ONLY: stores fail"));
  EXPECT_TRUE(trial_.Put(Durability::kNone).ok());
  EXPECT_EQ(trial_.Look(), "");
  End(Fault::kWriteError);
  ExpectWellAgain();
  ExpectAllKeptAfterAKill();
}

TEST_F(FailingDiskTest, AWriteErrorOfARemovalEndsToo) {
  ExpectThatARemovalFailsAndItEnds(Fault::kWriteError);
}

TEST_F(FailingDiskTest, ARemovalWithoutRoomEndsToo) {
  ExpectThatARemovalFailsAndItEnds(Fault::kNoSpace);
}

TEST_F(FailingDiskTest, AStartWithWriteErrorsServesWhatIsThereAndEndsToo) {
  Begin(Fault::kWriteError);
  EXPECT_FALSE(trial_.Put(Durability::kPower).ok());
  trial_.Kill();
  // What is there can be read, and what is removed must not come back: so nothing is.
  ASSERT_TRUE(trial_.Start().ok());
  EXPECT_THAT(trial_.Await(TierState::kDbReadOnly, kShownWithin),
              HasSubstr("DB_READ_ONLY: stores fail: open tier"));
  EXPECT_EQ(trial_.Look(), "");
  EXPECT_TRUE(trial_.Put(Durability::kNone).ok());
  const absl::Status refused = trial_.Put(Durability::kProcess);
  EXPECT_TRUE(absl::IsResourceExhausted(refused) || absl::IsUnavailable(refused))
      << refused;
  End(Fault::kWriteError);
  ExpectWellAgain();
  ExpectAllKeptAfterAKill();
}

TEST_F(FailingDiskTest, ADamagedDatabaseIsSetAsideAndAnEmptyTierComes) {
  trial_.Kill();
  std::filesystem::resize_file(directory_ + "/data/db/CURRENT", 1);
  ASSERT_TRUE(trial_.Start().ok());
  EXPECT_THAT(trial_.Await(TierState::kMemoryOnly, kShownWithin),
              HasSubstr("set aside as " + directory_ + "/data/set-aside-1"));
  const absl::Status refused = trial_.Put(Durability::kProcess);
  EXPECT_TRUE(absl::IsResourceExhausted(refused) || absl::IsUnavailable(refused))
      << refused;
  EXPECT_TRUE(trial_.Put(Durability::kNone).ok());
  EXPECT_EQ(trial_.Await(TierState::kHealthy, kWellWithin), "ok\n") << trial_.log();
  EXPECT_TRUE(trial_.LastIsAHit(kDeadline));
  const absl::Status put = trial_.PutDurably(8);
  EXPECT_TRUE(put.ok()) << put;
  EXPECT_EQ(trial_.Metric("tier_set_aside"), 1);
}

// What the manifest says of the last segment is then anybody's guess.
TEST_F(FailingDiskTest, AnErrorOfTheManifestEndsToo) {
  Begin(Fault::kManifestError);
  EXPECT_FALSE(trial_.Put(Durability::kPower).ok());
  EXPECT_TRUE(trial_.IsAHit(0, kDeadline));
  End(Fault::kManifestError);
  ExpectWellAgain();
  ExpectAllKeptAfterAKill();
}

TEST_F(FailingDiskTest, AKillAfterAnErrorOfTheManifestLosesNothingThatWasPromised) {
  Begin(Fault::kManifestError);
  EXPECT_FALSE(trial_.Put(Durability::kPower).ok());
  const absl::Status removed = trial_.RemoveLast();
  EXPECT_TRUE(removed.ok()) << removed;
  trial_.Kill();
  End(Fault::kManifestError);
  ASSERT_TRUE(trial_.Start().ok());
  EXPECT_EQ(trial_.Look(), "");
  EXPECT_TRUE(trial_.PutDurably(1).ok());
}

TEST_F(FailingDiskTest, ReadErrorsAreMissesAndMemoryGoesOn) {
  Begin(Fault::kReadError);
  EXPECT_TRUE(trial_.LastIsAHit(kDeadline));
  for (size_t i = 0; i < kReads; ++i) EXPECT_FALSE(trial_.IsAHit(i, kDeadline));
  EXPECT_THAT(trial_.Await(TierState::kMemoryOnly, kShownWithin),
              HasSubstr("MEMORY_ONLY: loads fail"));
  EXPECT_THAT(trial_.Info(), HasSubstr("MEMORY_ONLY: loads fail"));
  EXPECT_TRUE(trial_.Put(Durability::kNone).ok());
  const absl::Status refused = trial_.Put(Durability::kProcess);
  EXPECT_TRUE(absl::IsResourceExhausted(refused) || absl::IsUnavailable(refused))
      << refused;
  End(Fault::kReadError);
  ExpectWellAgain();
  EXPECT_EQ(trial_.Metric("tier_corrupt_blocks_total"), 0);
  ExpectAllKeptAfterAKill();
}

TEST_F(FailingDiskTest, ADiskThatDoesNotAnswerHoldsUpWhatNeedsItAlone) {
  Begin(Fault::kWriteStall);
  const absl::Status late = trial_.Put(Durability::kPower, kDeadline);
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_THAT(trial_.Await(TierState::kDbSlow, kShownWithin), HasSubstr("DB_SLOW: a call"));
  EXPECT_THAT(trial_.Info(), HasSubstr("DB_SLOW: a call"));
  for (size_t i = 0; i < kMoreThanMemoryHolds; ++i) {
    const absl::Status put = trial_.Put(Durability::kNone, kDeadline);
    ASSERT_TRUE(put.ok()) << put;
  }
  EXPECT_GT(trial_.Metric("dropped_demotions_total") +
                trial_.Metric("evicted_unsaved_blocks_total"),
            0);
  EXPECT_TRUE(trial_.LastIsAHit(kDeadline));
  EXPECT_TRUE(trial_.IsAHit(0, kDeadline));
  Begin(Fault::kReadStall);
  EXPECT_FALSE(trial_.IsAHit(1, kDeadline));
  EXPECT_TRUE(trial_.LastIsAHit(kDeadline));
  End(Fault::kReadStall);
  End(Fault::kWriteStall);
  ExpectWellAgain();
  ExpectAllKeptAfterAKill();
}

}  // namespace
}  // namespace kvasir
