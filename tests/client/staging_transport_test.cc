#include "client/staging_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "client/lane_client.h"
#include "tests/client/fake_node.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::Each;

// Through LaneClient, whose rules must hold over a lane that stages.
class StagingTransportTest : public ::testing::Test {
 protected:
  StagingTransportTest() {
    node_.needs_registration = true;
    node_.on_moved = [this](std::span<Transfer> batch) { rounds_.push_back(batch.size()); };
  }
  void Open(size_t buffers = 1, uint64_t buffer_bytes = 8) {
    transport_ = std::make_unique<StagingTransport>(
        node_.MakeTransport(),
        StagingPool::Options{.buffers_max = buffers, .buffer_bytes = buffer_bytes},
        &node_.clock);
    auto lane = LaneClient::Open({}, {1, 2}, node_.OpenStream(), transport_.get(),
                                 &node_.clock, Soon());
    ASSERT_TRUE(lane.ok()) << lane.status();
    lane_ = *std::move(lane);
  }
  Instant Soon() const { return node_.clock.Now() + milliseconds(1000); }

  std::vector<Outcome> Get(const std::vector<std::string_view>& keys) {
    std::vector<std::span<std::byte>> slices(keys.size());
    std::vector<GetItem> items;
    for (size_t i = 0; i < keys.size(); ++i) {
      slices[i] = std::as_writable_bytes(std::span(buffers_[i]));
      items.push_back({keys[i], std::span(&slices[i], 1)});
    }
    std::vector<KeyResult> results(keys.size());
    EXPECT_TRUE(lane_->Get(items, {.unpin_owner = {}, .deadline = Soon()}, results).ok());
    std::vector<Outcome> outcomes;
    for (const KeyResult& result : results) outcomes.push_back(result.outcome);
    return outcomes;
  }

  FakeNode node_{TransportKind::kRdma};
  std::unique_ptr<StagingTransport> transport_;
  std::unique_ptr<LaneClient> lane_;
  std::array<std::string, 4> buffers_{"...", "...", "...", "..."};
  std::vector<size_t> rounds_;
};

TEST_F(StagingTransportTest, GetsReachMemoryThatIsNotRegistered) {
  node_.Store("a", "aaa");
  Open();
  EXPECT_THAT(Get({"a"}), ElementsAre(Outcome::kOk));
  EXPECT_EQ(buffers_[0], "aaa");
  EXPECT_EQ(transport_->staged_bytes(), 3u);
}

TEST_F(StagingTransportTest, RegisteredMemoryIsNotStaged) {
  node_.Store("a", "aaa");
  Open();
  const auto region = transport_->Register(std::as_writable_bytes(std::span(buffers_[0])));
  ASSERT_TRUE(region.ok());
  EXPECT_THAT(Get({"a"}), ElementsAre(Outcome::kOk));
  EXPECT_EQ(buffers_[0], "aaa");
  EXPECT_EQ(transport_->staged_bytes(), 0u);
}

TEST_F(StagingTransportTest, ARegistrationEndsWithItsRegion) {
  node_.Store("a", "aaa");
  Open();
  transport_->Register(std::as_writable_bytes(std::span(buffers_[0]))).IgnoreError();
  EXPECT_THAT(Get({"a"}), ElementsAre(Outcome::kOk));
  EXPECT_EQ(transport_->staged_bytes(), 3u);
}

TEST_F(StagingTransportTest, MoreThanOneBufferGoesInRounds) {
  for (const char* key : {"a", "b", "c", "d"}) node_.Store(key, std::string(3, *key));
  Open();
  const auto region = transport_->Register(std::as_writable_bytes(std::span(buffers_[1])));
  EXPECT_THAT(Get({"a", "b", "c", "d"}), Each(Outcome::kOk));
  EXPECT_THAT(buffers_, ElementsAre("aaa", "bbb", "ccc", "ddd"));
  EXPECT_THAT(rounds_, ElementsAre(1, 2, 1));  // b; a and c; d
}

TEST_F(StagingTransportTest, ABlockLargerThanABufferIsRefusedAndTheRestMoves) {
  node_.Store("a", std::string(9, 'a'));
  node_.Store("b", "bbb");
  Open();
  buffers_[0] = std::string(9, '.');
  EXPECT_THAT(Get({"a", "b"}), ElementsAre(Outcome::kRefused, Outcome::kOk));
  EXPECT_EQ(buffers_[0], std::string(9, '.'));
  EXPECT_TRUE(lane_->usable());
}

TEST_F(StagingTransportTest, ABufferThatDoesNotComeInTimeIsAMissAndLeavesTheLane) {
  node_.Store("a", "aaa");
  Open(/*buffers=*/0);
  node_.on_request = [this](const v1::LaneRequest&) {
    node_.clock.Advance(milliseconds(999));
    return absl::OkStatus();
  };
  EXPECT_THAT(Get({"a"}), ElementsAre(Outcome::kLate));
  EXPECT_TRUE(lane_->usable());
}

TEST_F(StagingTransportTest, PutsComeFromMemoryThatIsNotRegistered) {
  Open();
  const std::string first = "ab", second = "cd";
  const std::array payload{std::as_bytes(std::span(first)), std::as_bytes(std::span(second))};
  const PutItem item{"k", payload, {}};
  KeyResult result;
  ASSERT_TRUE(lane_->Put(std::span(&item, 1), {.op_id = 1, .replace = false, .deadline = Soon()},
                         std::span(&result, 1))
                  .ok());
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_EQ(node_.blocks["k"].bytes, "abcd");
  EXPECT_EQ(transport_->staged_bytes(), 4u);
}

TEST_F(StagingTransportTest, WrongBytesAreNeverCopiedOut) {
  node_.Store("a", "aaa");
  Open();
  node_.on_moved = [](std::span<Transfer> batch) {
    batch[0].status = absl::PermissionDeniedError("expired");
  };
  EXPECT_THAT(Get({"a"}), ElementsAre(Outcome::kOther));
  EXPECT_EQ(buffers_[0], "...");
}

TEST(RegisteredMemory, CoversWhatOneRangeHolds) {
  std::array<std::byte, 100> memory;
  const std::span<std::byte> all(memory);
  RegisteredMemory registered;
  registered.Add(all.subspan(10, 20));
  registered.Add(all.subspan(15, 5));
  registered.Add(all.subspan(30, 20));
  EXPECT_TRUE(registered.Covers(all.subspan(10, 20)));
  EXPECT_TRUE(registered.Covers(all.subspan(18, 12)));
  EXPECT_FALSE(registered.Covers(all.subspan(9, 2)));
  EXPECT_FALSE(registered.Covers(all.subspan(29, 2)));
  registered.Remove(all.subspan(10, 20));
  EXPECT_FALSE(registered.Covers(all.subspan(18, 12)));
  EXPECT_TRUE(registered.Covers(all.subspan(15, 5)));
}

}  // namespace
}  // namespace kvasir
