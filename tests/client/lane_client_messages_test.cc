// Which requests of a lane go as messages, and what becomes of those.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"
#include "base/status_reason.h"
#include "client/lane_client.h"
#include "tests/client/fake_node.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr SessionId kSession{1, 2};

class LaneClientMessagesTest : public ::testing::Test {
 protected:
  LaneClientMessagesTest() {
    node_.carries_messages = true;
    node_.Store("k", "abcdef");
    auto lane = LaneClient::Open({}, kSession, node_.OpenStream(), transport_.get(),
                                 &node_.clock, In(1000));
    lane_ = *std::move(lane);
    node_.requests.clear();
  }
  Instant In(int ms) const { return node_.clock.Now() + milliseconds(ms); }

  // Outcomes of a get of blocks of six bytes.
  std::vector<Outcome> Get(const std::vector<std::string>& keys, int timeout_ms = 20'000) {
    buffers_.assign(keys.size(), "......");
    std::vector<std::span<std::byte>> slices;
    for (std::string& buffer : buffers_) {
      slices.push_back(std::as_writable_bytes(std::span(buffer)));
    }
    std::vector<GetItem> items;
    for (size_t i = 0; i < keys.size(); ++i) {
      items.push_back({keys[i], std::span(&slices[i], 1)});
    }
    std::vector<KeyResult> results(keys.size());
    status_ = lane_->Get(items, {.unpin_owner = {}, .deadline = In(timeout_ms)}, results);
    std::vector<Outcome> outcomes;
    for (const KeyResult& result : results) outcomes.push_back(result.outcome);
    return outcomes;
  }

  FakeNode node_{TransportKind::kRdma};
  const std::unique_ptr<ClientTransport> transport_ = node_.MakeTransport();
  std::unique_ptr<LaneClient> lane_;
  std::vector<std::string> buffers_;
  absl::Status status_;
};

TEST_F(LaneClientMessagesTest, TheLaneIsOpenedOnTheStream) {
  EXPECT_THAT(node_.messages, IsEmpty());
  EXPECT_TRUE(lane_->usable());
}

TEST_F(LaneClientMessagesTest, GetsLookupsAndReleasesGoAsMessages) {
  EXPECT_THAT(Get({"k", "none"}), ElementsAre(Outcome::kOk, Outcome::kAbsent));
  EXPECT_EQ(buffers_[0], "abcdef");
  ASSERT_TRUE(lane_->Lookup(std::vector<std::string_view>{"k"}, {.deadline = In(1000)}).ok());
  EXPECT_THAT(node_.messages[1].releases(), SizeIs(1));  // It rides on the next, as ever.
  EXPECT_THAT(node_.open_reads, IsEmpty());
  Get({"k"});
  ASSERT_TRUE(lane_->FlushReleases(In(1000)).ok());
  EXPECT_THAT(node_.messages, SizeIs(4));
  EXPECT_EQ(node_.requests.size(), node_.messages.size());
}

TEST_F(LaneClientMessagesTest, PutsGoAsMessagesAndRemovalsOnTheStream) {
  const std::string bytes = "bytes";
  const std::span<const std::byte> slice = std::as_bytes(std::span(bytes));
  const PutItem item{"new", std::span(&slice, 1), {}};
  KeyResult result;
  ASSERT_TRUE(lane_->Put(std::span(&item, 1), {.op_id = 9, .deadline = In(1000)},
                         std::span(&result, 1))
                  .ok());
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_THAT(node_.messages, SizeIs(2));
  const std::string_view key = "new";
  ASSERT_TRUE(lane_->Remove(std::span(&key, 1), In(1000), std::span(&result, 1)).ok());
  EXPECT_THAT(node_.messages, SizeIs(2));
  EXPECT_THAT(node_.requests, SizeIs(3));
}

TEST_F(LaneClientMessagesTest, WhatIsOrMayBecomeTooLargeGoesOnTheStream) {
  EXPECT_THAT(Get(std::vector<std::string>(16, "k")), SizeIs(16));
  EXPECT_THAT(node_.messages, SizeIs(1));
  EXPECT_THAT(Get(std::vector<std::string>(17, "k")), SizeIs(17));
  EXPECT_THAT(Get(std::vector<std::string>(8, std::string(kMaxKeyBytes, 'k'))), SizeIs(8));
  EXPECT_THAT(node_.messages, SizeIs(1));
  EXPECT_THAT(node_.requests, SizeIs(3));
}

TEST_F(LaneClientMessagesTest, ARefusalIsItsStatusAndKeepsTheLane) {
  node_.on_response = [](v1::LaneResponse* response) {
    response->mutable_error()->set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
    response->mutable_error()->set_reason(std::string(kReasonLimit));
  };
  EXPECT_THAT(Get({"k"}), ElementsAre(::testing::Ne(Outcome::kOk)));
  EXPECT_EQ(ReasonOf(status_), kReasonLimit);
  node_.on_response = nullptr;
  EXPECT_THAT(Get({"k"}), ElementsAre(Outcome::kOk));
}

TEST_F(LaneClientMessagesTest, AnAnswerThatIsNoneEndsTheLane) {
  node_.on_answer = [](std::string* answer) { *answer = "\xff\xff\xff"; };
  EXPECT_THAT(Get({"k"}), ElementsAre(::testing::Ne(Outcome::kOk)));
  EXPECT_EQ(status_.code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(lane_->usable());
}

TEST_F(LaneClientMessagesTest, AnAnswerToAnotherQuestionEndsTheLane) {
  node_.on_answer = [](std::string* answer) {
    v1::LaneResponse other;
    other.mutable_release();
    *answer = other.SerializeAsString();
  };
  EXPECT_THAT(Get({"k"}), ElementsAre(::testing::Ne(Outcome::kOk)));
  EXPECT_FALSE(lane_->usable());
}

TEST_F(LaneClientMessagesTest, AnAnswerIsWaitedForWhileTheStreamShowsLife) {
  node_.answers_late = 5;
  EXPECT_THAT(Get({"k"}, 1'000), ElementsAre(Outcome::kOk));
  EXPECT_TRUE(lane_->usable());
  EXPECT_EQ(node_.requests.size(), node_.messages.size() + 5);
}

// On the stream; of a message nothing was heard.
TEST_F(LaneClientMessagesTest, AStreamThatHasEndedEndsTheWaitAndTheLane) {
  node_.answers_late = 1'000;
  node_.on_request = [](const v1::LaneRequest& request) {
    return request.has_release() ? absl::UnavailableError("gone") : absl::OkStatus();
  };
  const Instant began = node_.clock.Now();
  EXPECT_THAT(Get({"k"}, 60'000), ElementsAre(::testing::Ne(Outcome::kOk)));
  EXPECT_EQ(status_.code(), absl::StatusCode::kUnavailable);
  EXPECT_LE(node_.clock.Now() - began, milliseconds(100));
  EXPECT_FALSE(lane_->usable());
}

TEST_F(LaneClientMessagesTest, ASessionThatIsGoneIsToldByTheStream) {
  node_.answers_late = 1'000;
  node_.on_response = [](v1::LaneResponse* response) {
    if (!response->has_release()) return;
    response->mutable_error()->set_code(static_cast<int>(absl::StatusCode::kUnauthenticated));
    response->mutable_error()->set_reason(std::string(kReasonSessionUnknown));
  };
  const Instant began = node_.clock.Now();
  EXPECT_THAT(Get({"k"}, 60'000), ElementsAre(::testing::Ne(Outcome::kOk)));
  EXPECT_EQ(ReasonOf(status_), kReasonSessionUnknown);
  EXPECT_LE(node_.clock.Now() - began, milliseconds(100));
  EXPECT_FALSE(lane_->usable());
}

TEST_F(LaneClientMessagesTest, AfterTheLaneHasFailedTheStreamSaysWhatBecameOfAPut) {
  node_.on_moved = [](std::span<Transfer> batch) {
    for (Transfer& transfer : batch) transfer.status = absl::UnavailableError("cut");
  };
  Get({"k"});
  EXPECT_FALSE(lane_->usable());
  const size_t messages = node_.messages.size();
  EXPECT_TRUE(lane_->FlushReleases(In(1000)).ok());
  EXPECT_EQ(node_.messages.size(), messages);
}

TEST_F(LaneClientMessagesTest, NoAnswerBeforeTheDeadlineEndsTheLane) {
  node_.answers_late = 1'000;
  const Instant began = node_.clock.Now();
  EXPECT_THAT(Get({"k"}, 500), ElementsAre(::testing::Ne(Outcome::kOk)));
  EXPECT_EQ(status_.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(node_.clock.Now() - began, milliseconds(500));
  EXPECT_FALSE(lane_->usable());
}

TEST_F(LaneClientMessagesTest, TheLeaseIsCountedFromBeforeTheMessageWasSent) {
  node_.ttl_ms = 1'000;
  node_.answers_late = 20;  // of 50 ms each
  EXPECT_THAT(Get({"k"}), ElementsAre(::testing::Ne(Outcome::kOk)));
  EXPECT_TRUE(status_.ok()) << status_;
}

TEST_F(LaneClientMessagesTest, APeerThatIsGoneEndsTheLane) {
  node_.on_request = [](const v1::LaneRequest&) { return absl::UnavailableError("gone"); };
  EXPECT_THAT(Get({"k"}), ElementsAre(::testing::Ne(Outcome::kOk)));
  EXPECT_EQ(status_.code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(lane_->usable());
}

}  // namespace
}  // namespace kvasir
