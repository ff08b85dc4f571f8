// A disk tier that cannot be opened at the start: when the node serves all the same, and
// how the tier comes back.

#include "service/node_tier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "base/checksum.h"
#include "base/limits.h"
#include "base/region.h"
#include "storage/arena.h"
#include "tests/support/fake_tier.h"
#include "tests/support/flaky_tier.h"
#include "tests/support/manual_clock.h"

namespace kvasir {
namespace {

using absl::MutexLock;
using testing::HasSubstr;

constexpr uint64_t kArenaBytes = kMiB;
constexpr uint64_t kBlock = 4 * kKiB;
constexpr uint64_t kDiskBytes = 16 * kMiB;

class NodeTierTest : public testing::Test {
 protected:
  // What each try comes to, in turn; a tier once there are no more.
  void Open(std::vector<absl::Status> faults) {
    faults_.assign(faults.begin(), faults.end());
    tier_.Open(
        [this](const NodeTier::Executors&, const NodeTier::Progress&) { return Try(); },
        [this] { return SetAside(); }, &store_,
        [this](const absl::Status& status) {
          MutexLock lock(&mu_);
          opened_.push_back(status);
        });
  }
  absl::StatusOr<std::unique_ptr<Tier>> Try() {
    MutexLock lock(&mu_);
    ++tries_;
    if (faults_.empty()) return std::make_unique<FlakyTier>(&disk_);
    const absl::Status fault = faults_.front();
    faults_.pop_front();
    return fault;
  }
  absl::StatusOr<std::string> SetAside() {
    MutexLock lock(&mu_);
    ++set_aside_;
    if (!may_set_aside_) return absl::ResourceExhaustedError("no room aside");
    return "/aside";
  }
  // Waits for what the threads of the tier do, with a clock that stands.
  void Await(const std::function<bool()>& done) {
    while (!done()) std::this_thread::yield();
  }
  // The same with one that goes on.
  void StepUntil(const std::function<bool()>& done) {
    while (!done()) {
      clock_.Advance(kTierProbeInterval / 4);
      tier_.Step(clock_.Now());
      std::this_thread::yield();
    }
  }
  size_t tries() {
    MutexLock lock(&mu_);
    return tries_;
  }
  std::vector<absl::Status> opened() {
    MutexLock lock(&mu_);
    return opened_;
  }
  bool healthy() {
    return store_.stats().has_tier && store_.health()->state() == TierState::kHealthy;
  }
  void Put(std::string_view key) {
    absl::StatusOr<Reservation> made = store_.Reserve(key, {.size_bytes = kBlock});
    ASSERT_TRUE(made.ok()) << made.status();
    const uint64_t checksum = BlockChecksum(ChecksumSeed(key), made->bytes());
    ASSERT_TRUE(store_.Commit(*std::move(made), checksum, Durability::kNone).ok());
  }

  ManualClock clock_;
  FakeTier disk_{kDiskBytes};
  absl::Mutex mu_;
  std::deque<absl::Status> faults_;
  std::vector<absl::Status> opened_;
  size_t tries_ = 0, set_aside_ = 0;
  bool may_set_aside_ = true;

  const std::unique_ptr<Region> region_ = *Region::Map({.size_bytes = kArenaBytes});
  Arena arena_{region_.get()};
  NodeTier tier_;
  TieredStore store_{&arena_, {}, &clock_, tier_.store_executor(), tier_.load_executor()};
  // Before the store, as a node has it.
  struct Stopper {
    ~Stopper() {
      tier->EndOpening();
      tier->Stop();
    }
    NodeTier* tier;
  } stopper_{&tier_};
};

TEST_F(NodeTierTest, DamagedDatabaseIsSetAsideAndAnEmptyOneComesByItself) {
  Open({absl::DataLossError("damaged")});
  Await([this] { return !opened().empty(); });
  EXPECT_THAT(opened(), testing::ElementsAre(absl::OkStatus()));
  EXPECT_EQ(store_.health()->state(), TierState::kMemoryOnly);
  EXPECT_THAT(store_.health()->reason(), HasSubstr("damaged; set aside as /aside"));
  Put("before");
  StepUntil([this] { return healthy(); });
  EXPECT_EQ(tier_.fault(), "");
  EXPECT_EQ(tier_.set_aside_count(), 1u);
  EXPECT_EQ(opened().size(), 1u);
  EXPECT_EQ(store_.Probe("before"), Residency::kMemory);
  while (!store_.SaveStep()) std::this_thread::yield();
  EXPECT_EQ(store_.Probe("before"), Residency::kBoth);
}

TEST_F(NodeTierTest, TriesAreAnIntervalApart) {
  Open({absl::DataLossError("damaged")});
  Await([this] { return !opened().empty(); });
  // The first Step begins to count.
  const Instant begin = clock_.Now();
  StepUntil([this] { return tries() == 2; });
  EXPECT_GE(clock_.Now() - begin, kTierProbeInterval);
}

TEST_F(NodeTierTest, FullDiskWithoutADatabaseLeavesMemoryUntilThereIsRoom) {
  Open({absl::ResourceExhaustedError("no room"), absl::ResourceExhaustedError("no room")});
  Await([this] { return !opened().empty(); });
  EXPECT_THAT(opened(), testing::ElementsAre(absl::OkStatus()));
  EXPECT_EQ(store_.health()->reason(), "no room");
  StepUntil([this] { return healthy(); });
  EXPECT_EQ(tries(), 3u);
  EXPECT_EQ(tier_.set_aside_count(), 0u);
}

TEST_F(NodeTierTest, DatabaseThatTheDiskDoesNotLetUsReadIsWaitedFor) {
  disk_.Delete(std::vector<Tier::Tombstone>{{.key = "old", .generation = 7}}).IgnoreError();
  Open({absl::UnavailableError("EIO"), absl::InternalError("EIO still")});
  StepUntil([this] { return tries() == 2; });
  Await([this] { return tier_.fault() == "EIO still"; });
  EXPECT_TRUE(opened().empty());
  StepUntil([this] { return healthy(); });
  EXPECT_THAT(opened(), testing::ElementsAre(absl::OkStatus()));
  EXPECT_GT(store_.memory()->NextGeneration(), 7u);
}

TEST_F(NodeTierTest, DirectoryOfAnotherEndsTheStart) {
  Open({absl::UnavailableError("EIO"), absl::FailedPreconditionError("not ours")});
  StepUntil([this] { return !opened().empty(); });
  EXPECT_THAT(opened(), testing::ElementsAre(absl::FailedPreconditionError("not ours")));
}

TEST_F(NodeTierTest, BlocksThatMemoryHasGoneOnWithoutNeverComeBack) {
  disk_.Delete(std::vector<Tier::Tombstone>{{.key = "old", .generation = 7}}).IgnoreError();
  may_set_aside_ = false;
  Open({absl::DataLossError("damaged, it seems")});
  Await([this] { return !opened().empty(); });
  EXPECT_THAT(store_.health()->reason(), HasSubstr("could not be set aside: no room"));
  StepUntil([this] { return tries() == 3; });
  EXPECT_FALSE(healthy());
  EXPECT_THAT(tier_.fault(), HasSubstr("memory has gone on without them"));
  MutexLock lock(&mu_);
  EXPECT_GE(set_aside_, 2u);
}

TEST_F(NodeTierTest, DiskThatTakesNoWritesIsSeenAtOnce) {
  auto disk = std::make_unique<FlakyTier>(&disk_);
  disk->FailDeletes(absl::ResourceExhaustedError("full"));
  tier_.Open(
      [&](const NodeTier::Executors&, const NodeTier::Progress&) {
        return std::move(disk);
      },
      {}, &store_,
      [this](const absl::Status& status) {
        MutexLock lock(&mu_);
        opened_.push_back(status);
      });
  Await([this] { return !opened().empty(); });
  EXPECT_EQ(store_.health()->state(), TierState::kDbReadOnly);
  EXPECT_EQ(store_.health()->reason(), "stores fail: full");
}

}  // namespace
}  // namespace kvasir
