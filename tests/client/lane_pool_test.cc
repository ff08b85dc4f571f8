#include "client/lane_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "tests/client/fake_node.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

class LanePoolTest : public ::testing::Test {
 protected:
  std::unique_ptr<LaneClient> MakeLane() {
    auto lane = LaneClient::Open({}, {1, 1}, node_.OpenStream(), transport_.get(),
                                 &node_.clock, Later());
    EXPECT_TRUE(lane.ok()) << lane.status();
    return *std::move(lane);
  }
  void Start() { pool_.Start({.id = {1, 1}, .transport = transport_.get()}, MakeLane()); }
  Instant Now() const { return node_.clock.Now(); }
  Instant Later() const { return Now() + std::chrono::minutes(1); }
  LanePool::Held Take() {
    auto held = pool_.Acquire(Later());
    EXPECT_TRUE(held.ok()) << held.status();
    return *std::move(held);
  }
  // Reads a block, which leaves a lease to release.
  void Read(LaneClient& lane) {
    node_.Store("k", "abc");
    std::string buffer(3, '.');
    const std::span<std::byte> slice = std::as_writable_bytes(std::span(buffer));
    const GetItem item{"k", std::span(&slice, 1)};
    KeyResult result;
    EXPECT_TRUE(lane.Get(std::span(&item, 1), {.unpin_owner = {}, .deadline = Later()},
                         std::span(&result, 1))
                    .ok());
  }
  // Makes a lane unusable.
  void Break(LaneClient& lane) {
    node_.on_request = [](const v1::LaneRequest&) { return absl::UnavailableError("gone"); };
    EXPECT_FALSE(lane.UnpinOwner("o", Later()).ok());
    node_.on_request = nullptr;
  }

  FakeNode node_;
  const std::unique_ptr<ClientTransport> transport_ = node_.MakeTransport();
  absl::Status open_status_;
  LanePool pool_{2,
                 [this](const LanePool::Session&, Instant)
                     -> absl::StatusOr<std::unique_ptr<LaneClient>> {
                   if (!open_status_.ok()) return open_status_;
                   return MakeLane();
                 },
                 &node_.clock};
};

TEST_F(LanePoolTest, WithoutASessionThereIsNoLane) {
  EXPECT_EQ(pool_.Acquire(Later()).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(pool_.serving());
}

TEST_F(LanePoolTest, ALaneIsUsedAgain) {
  Start();
  LaneClient* first = nullptr;
  first = &*Take();
  EXPECT_EQ(&*Take(), first);
  EXPECT_EQ(node_.lanes_open, 1);
}

TEST_F(LanePoolTest, LanesAreOpenedWhenNeededUpToTheMaximum) {
  Start();
  const LanePool::Held one = Take();
  const LanePool::Held two = Take();
  EXPECT_EQ(node_.lanes_open, 2);
  EXPECT_EQ(pool_.Acquire(Now()).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(LanePoolTest, LanesThatNobodyHoldsAreFree) {
  EXPECT_EQ(pool_.free_lanes(), 0u);
  Start();
  EXPECT_EQ(pool_.free_lanes(), 2u);
  {
    const LanePool::Held one = Take();
    EXPECT_EQ(pool_.free_lanes(), 1u);
  }
  EXPECT_EQ(pool_.free_lanes(), 2u);
}

TEST_F(LanePoolTest, AWaitEndsWhenALaneComesBack) {
  Start();
  const LanePool::Held one = Take();
  std::optional<LanePool::Held> two(Take());
  std::thread other([this] { EXPECT_TRUE(pool_.Acquire(Later()).ok()); });
  two.reset();
  other.join();
}

TEST_F(LanePoolTest, AWaitEndsWhenTheSessionEnds) {
  Start();
  const LanePool::Held one = Take();
  const LanePool::Held two = Take();
  std::thread other([this] {
    EXPECT_EQ(pool_.Acquire(Later()).status().code(), absl::StatusCode::kUnavailable);
  });
  pool_.Stop();
  other.join();
}

TEST_F(LanePoolTest, AnUnusableLaneIsReplaced) {
  Start();
  Break(*Take());
  EXPECT_EQ(node_.lanes_open, 0);
  EXPECT_TRUE(Take()->usable());
  EXPECT_EQ(node_.lanes_open, 1);
}

TEST_F(LanePoolTest, ALaneThatCannotBeOpenedTakesNoPlace) {
  Start();
  const LanePool::Held one = Take();
  open_status_ = absl::UnavailableError("down");
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(pool_.Acquire(Later()).status().code(), absl::StatusCode::kUnavailable);
  }
  open_status_ = absl::OkStatus();
  EXPECT_TRUE(pool_.Acquire(Later()).ok());
}

TEST_F(LanePoolTest, LanesOfAnEndedSessionGoWhenTheyComeBack) {
  Start();
  {
    const LanePool::Held old = Take();
    pool_.Stop();
    Start();
    EXPECT_EQ(node_.lanes_open, 2);
  }
  EXPECT_EQ(node_.lanes_open, 1);
  EXPECT_EQ(pool_.open_lanes(), 1u);
}

TEST_F(LanePoolTest, OnlyTheSessionThatIsMeantIsStopped) {
  Start();
  const uint64_t old = Take().term();
  Start();
  EXPECT_FALSE(pool_.StopTerm(old));
  EXPECT_TRUE(pool_.serving());
  EXPECT_TRUE(pool_.StopTerm(old + 1));
  EXPECT_FALSE(pool_.serving());
}

TEST_F(LanePoolTest, IdleLanesReleaseTheirLeases) {
  Start();
  Read(*Take());
  EXPECT_EQ(node_.open_reads.size(), 1u);
  pool_.FlushIdle(milliseconds(50), Later());
  EXPECT_EQ(node_.open_reads.size(), 1u);  // Not idle for long enough.
  node_.clock.Advance(milliseconds(50));
  pool_.FlushIdle(milliseconds(50), Later());
  EXPECT_EQ(node_.open_reads.size(), 0u);
  EXPECT_EQ(node_.lanes_open, 1);
}

TEST_F(LanePoolTest, ALaneThatCannotReleaseGoes) {
  Start();
  Read(*Take());
  node_.clock.Advance(milliseconds(50));
  node_.on_request = [](const v1::LaneRequest&) { return absl::UnavailableError("gone"); };
  pool_.FlushIdle(milliseconds(50), Later());
  EXPECT_EQ(node_.lanes_open, 0);
}

}  // namespace
}  // namespace kvasir
