#include "client/lane_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/limits.h"
#include "base/status_reason.h"
#include "tests/client/fake_node.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr SessionId kSession{1, 2};

class LaneClientTest : public ::testing::Test {
 protected:
  void Open(LaneClient::Options options = {}) {
    auto lane = LaneClient::Open(options, kSession, node_.OpenStream(), transport_.get(),
                                 &node_.clock, In(1000));
    ASSERT_TRUE(lane.ok()) << lane.status();
    lane_ = *std::move(lane);
    node_.requests.clear();
  }
  Instant In(int ms) const { return node_.clock.Now() + milliseconds(ms); }

  // Gets one key into a buffer of `size_bytes`.
  KeyResult GetOne(std::string_view key, size_t size_bytes, int timeout_ms = 20'000) {
    buffer_.assign(size_bytes, '.');
    const std::array slices{std::as_writable_bytes(std::span(buffer_))};
    const GetItem item{key, slices};
    KeyResult result;
    status_ = lane_->Get(std::span(&item, 1), {.unpin_owner = {}, .deadline = In(timeout_ms)},
                         std::span(&result, 1));
    return result;
  }

  KeyResult PutOne(std::string_view key, std::string_view bytes, int timeout_ms = 20'000) {
    const std::array slices{std::as_bytes(std::span(bytes))};
    const PutItem item{key, slices, "attributes"};
    KeyResult result;
    status_ = lane_->Put(std::span(&item, 1),
                         {.op_id = 9, .replace = false, .deadline = In(timeout_ms)},
                         std::span(&result, 1));
    return result;
  }

  FakeNode node_;
  const std::unique_ptr<ClientTransport> transport_ = node_.MakeTransport();
  std::unique_ptr<LaneClient> lane_;
  std::string buffer_;
  absl::Status status_;
};

class CollectingSink : public Sink {
 public:
  explicit CollectingSink(std::function<size_t(const Landing&)> size_of)
      : size_of_(std::move(size_of)) {}
  void Place(std::span<Landing> landings) override {
    for (Landing& landing : landings) {
      offered.push_back(landing.index);
      attributes.emplace_back(landing.attributes);
      buffers.emplace_back(size_of_(landing), '.');
    }
    for (size_t i = 0; i < landings.size(); ++i) {
      landings[i].local = std::as_writable_bytes(std::span(buffers[i]));
    }
  }
  std::vector<size_t> offered;
  std::vector<std::string> attributes;
  std::vector<std::string> buffers;

 private:
  std::function<size_t(const Landing&)> size_of_;
};

TEST_F(LaneClientTest, OpenCarriesTheHelloInTheFirstExchange) {
  auto lane = LaneClient::Open({}, kSession, node_.OpenStream(), transport_.get(),
                               &node_.clock, In(1000));
  ASSERT_TRUE(lane.ok()) << lane.status();
  ASSERT_THAT(node_.requests, SizeIs(1));
  EXPECT_EQ(node_.requests[0].open().session(), kSession.ToBytes());
  EXPECT_EQ(node_.requests[0].open().hello(), "hello");
  EXPECT_EQ(node_.requests[0].open().transport(), v1::TRANSPORT_KIND_SHM);
  EXPECT_EQ((*lane)->id(), LaneId{7});
  EXPECT_TRUE((*lane)->usable());
}

TEST_F(LaneClientTest, OpenReturnsWhatTheTransportSays) {
  node_.connect_status = absl::FailedPreconditionError("another host");
  auto lane = LaneClient::Open({}, kSession, node_.OpenStream(), transport_.get(),
                               &node_.clock, In(1000));
  EXPECT_EQ(lane.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(node_.streams_open, 0);
}

TEST_F(LaneClientTest, GetFillsTheSlicesInOrder) {
  node_.Store("k", "abcdef");
  Open();
  std::string first(2, '.'), second(4, '.');
  const std::array slices{std::as_writable_bytes(std::span(first)),
                          std::as_writable_bytes(std::span(second))};
  const GetItem item{"k", slices};
  KeyResult result;
  ASSERT_TRUE(lane_->Get(std::span(&item, 1), {.unpin_owner = {}, .deadline = In(1000)},
                         std::span(&result, 1))
                  .ok());
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_EQ(result.size_bytes, 6u);
  EXPECT_EQ(first + second, "abcdef");
}

TEST_F(LaneClientTest, GetAnswersPerKeyInABatchWithHoles) {
  node_.Store("a", "aa");
  node_.Store("c", "cc");
  Open();
  std::array<std::string, 3> buffers{"..", "..", ".."};
  std::vector<std::span<std::byte>> slices;
  for (std::string& buffer : buffers) slices.push_back(std::as_writable_bytes(std::span(buffer)));
  const std::vector<GetItem> items{{"a", std::span(&slices[0], 1)},
                                   {"b", std::span(&slices[1], 1)},
                                   {"c", std::span(&slices[2], 1)}};
  std::vector<KeyResult> results(3);
  ASSERT_TRUE(lane_->Get(items, {.unpin_owner = {}, .deadline = In(1000)}, results).ok());
  EXPECT_EQ(results[0].outcome, Outcome::kOk);
  EXPECT_EQ(results[1].outcome, Outcome::kAbsent);
  EXPECT_EQ(results[2].outcome, Outcome::kOk);
  EXPECT_THAT(buffers, ElementsAre("aa", "..", "cc"));
}

TEST_F(LaneClientTest, AnotherLengthIsAMissAndLeavesTheBufferAlone) {
  node_.Store("k", "abcdef");
  Open();
  EXPECT_EQ(GetOne("k", 5).outcome, Outcome::kSize);
  EXPECT_EQ(buffer_, ".....");
  EXPECT_EQ(GetOne("k", 7).outcome, Outcome::kSize);
  EXPECT_EQ(buffer_, ".......");
  EXPECT_TRUE(lane_->usable());
}

TEST_F(LaneClientTest, WrongBytesAreAMiss) {
  node_.Store("k", "abcdef");
  node_.blocks["k"].bytes[3] ^= 1;
  Open();
  EXPECT_EQ(GetOne("k", 6).outcome, Outcome::kChecksum);
  EXPECT_TRUE(lane_->usable());
}

TEST_F(LaneClientTest, RightBytesUnderAnotherKeyAreAMiss) {
  node_.Store("k", "abcdef");
  node_.blocks["other"] = node_.blocks["k"];
  Open();
  EXPECT_EQ(GetOne("other", 6).outcome, Outcome::kChecksum);
}

TEST_F(LaneClientTest, ChecksumsCanBeSwitchedOff) {
  node_.Store("k", "abcdef");
  node_.blocks["k"].checksum ^= 1;
  Open({.verify_checksums = false});
  EXPECT_EQ(GetOne("k", 6).outcome, Outcome::kOk);
}

TEST_F(LaneClientTest, BytesThatArriveAfterTheLeaseAreAMiss) {
  node_.Store("k", "abcdef");
  Open();
  node_.lanes_time_out = false;  // The rule must hold without the transport's help.
  node_.on_moved = [this](std::span<Transfer>) { node_.clock.Advance(milliseconds(4'960)); };
  EXPECT_EQ(GetOne("k", 6).outcome, Outcome::kLate);
}

TEST_F(LaneClientTest, TheLeaseIsCountedFromBeforeTheRequestWasSent) {
  node_.Store("k", "abcdef");
  Open();
  node_.on_request = [this](const v1::LaneRequest&) {
    node_.clock.Advance(milliseconds(3'000));
    return absl::OkStatus();
  };
  node_.on_moved = [this](std::span<Transfer>) { node_.clock.Advance(milliseconds(1'960)); };
  EXPECT_EQ(GetOne("k", 6).outcome, Outcome::kLate);
}

TEST_F(LaneClientTest, TheLeaseIsTrustedForItsTtlLessDriftAndMargin) {
  node_.Store("k", "abcdef");
  Open();
  // 5,000 ms less 5 ms of drift less 50 ms of margin.
  node_.on_moved = [this](std::span<Transfer>) { node_.clock.Advance(milliseconds(4'944)); };
  EXPECT_EQ(GetOne("k", 6).outcome, Outcome::kOk);
  node_.on_moved = [this](std::span<Transfer>) { node_.clock.Advance(milliseconds(4'945)); };
  EXPECT_EQ(GetOne("k", 6).outcome, Outcome::kLate);
}

TEST_F(LaneClientTest, ALongCallAsksForALongLease) {
  node_.Store("k", "abcdef");
  Open();
  GetOne("k", 6, 20'000);
  EXPECT_GT(node_.requests.back().grant_reads().ttl_ms(), 20'050u);
  GetOne("k", 6, 60'000);
  EXPECT_EQ(node_.requests.back().grant_reads().ttl_ms(), 30'000u);
  GetOne("k", 6, 1'000);
  EXPECT_EQ(node_.requests.back().grant_reads().ttl_ms(), 0u);
}

TEST_F(LaneClientTest, ReadLeasesEndWithTheNextRequest) {
  node_.Store("k", "abcdef");
  Open();
  GetOne("k", 6);
  EXPECT_THAT(node_.open_reads, SizeIs(1));
  EXPECT_EQ(lane_->pending_releases(), 1u);
  GetOne("absent", 6);
  EXPECT_THAT(node_.open_reads, IsEmpty());
  EXPECT_EQ(lane_->pending_releases(), 0u);
}

TEST_F(LaneClientTest, LeasesOfBlocksThatWereNotWantedEndToo) {
  node_.Store("k", "abcdef");
  Open();
  GetOne("k", 5);
  ASSERT_TRUE(lane_->FlushReleases(In(100)).ok());
  EXPECT_THAT(node_.open_reads, IsEmpty());
}

TEST_F(LaneClientTest, FlushReleasesAsksNothingWhenNothingWaits) {
  Open();
  ASSERT_TRUE(lane_->FlushReleases(In(100)).ok());
  EXPECT_THAT(node_.requests, IsEmpty());
}

TEST_F(LaneClientTest, ADataPathThatTimesOutMakesTheLaneUnusable) {
  node_.Store("k", "abcdef");
  Open();
  node_.on_moved = [this](std::span<Transfer>) { node_.clock.Advance(milliseconds(200)); };
  EXPECT_EQ(GetOne("k", 6, 100).outcome, Outcome::kLate);
  EXPECT_FALSE(lane_->usable());
}

TEST_F(LaneClientTest, ALostReplyMakesTheLaneUnusable) {
  node_.Store("k", "abcdef");
  Open();
  node_.on_request = [](const v1::LaneRequest&) { return absl::UnavailableError("gone"); };
  EXPECT_EQ(GetOne("k", 6).outcome, Outcome::kNodeDown);
  EXPECT_EQ(status_.code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(lane_->usable());
}

TEST_F(LaneClientTest, ACallThatIsLateAlreadyCostsTheLaneNothing) {
  Open();
  EXPECT_EQ(GetOne("k", 6, 0).outcome, Outcome::kLate);
  EXPECT_THAT(node_.requests, IsEmpty());
  EXPECT_TRUE(lane_->usable());
}

TEST_F(LaneClientTest, ARefusedRequestKeepsTheLane) {
  Open();
  node_.on_response = [](v1::LaneResponse* response) {
    response->mutable_error()->set_code(static_cast<int>(absl::StatusCode::kUnavailable));
    response->mutable_error()->set_reason(std::string(kReasonDraining));
  };
  EXPECT_EQ(PutOne("k", "abc").outcome, Outcome::kNodeDown);
  EXPECT_EQ(ReasonOf(status_), kReasonDraining);
  EXPECT_TRUE(lane_->usable());
}

TEST_F(LaneClientTest, ALostSessionTakesTheLaneWithIt) {
  Open();
  node_.on_response = [](v1::LaneResponse* response) {
    response->mutable_error()->set_code(static_cast<int>(absl::StatusCode::kUnauthenticated));
    response->mutable_error()->set_reason(std::string(kReasonSessionUnknown));
  };
  EXPECT_EQ(GetOne("k", 6).outcome, Outcome::kNodeDown);
  EXPECT_EQ(ReasonOf(status_), kReasonSessionUnknown);
  EXPECT_FALSE(lane_->usable());
}

TEST_F(LaneClientTest, AReplyWithAnotherNumberOfGrantsIsRefused) {
  node_.Store("k", "abcdef");
  Open();
  node_.on_response = [](v1::LaneResponse* response) {
    response->mutable_grant_reads()->add_grants();
  };
  EXPECT_EQ(GetOne("k", 6).outcome, Outcome::kOther);
  EXPECT_EQ(status_.code(), absl::StatusCode::kInternal);
  EXPECT_FALSE(lane_->usable());
}

TEST_F(LaneClientTest, AnAnswerToAnotherQuestionIsRefused) {
  Open();
  node_.on_response = [](v1::LaneResponse* response) { response->mutable_lookup(); };
  EXPECT_EQ(GetOne("k", 6).outcome, Outcome::kOther);
  EXPECT_FALSE(lane_->usable());
}

TEST_F(LaneClientTest, ASinkLearnsSizesAndAttributesOfHitsOnly) {
  node_.Store("a", "aaa", "shape a");
  node_.Store("c", "c", "shape c");
  Open();
  CollectingSink sink([](const Landing& landing) { return landing.size_bytes; });
  const std::vector<std::string_view> keys{"a", "b", "c"};
  std::vector<KeyResult> results(3);
  ASSERT_TRUE(lane_->Get(keys, sink, {.unpin_owner = "me", .deadline = In(1000)}, results).ok());
  EXPECT_THAT(sink.offered, ElementsAre(0, 2));
  EXPECT_THAT(sink.attributes, ElementsAre("shape a", "shape c"));
  EXPECT_THAT(sink.buffers, ElementsAre("aaa", "c"));
  EXPECT_EQ(results[0].outcome, Outcome::kOk);
  EXPECT_EQ(results[1].outcome, Outcome::kAbsent);
  EXPECT_EQ(node_.requests[0].grant_reads().unpin_owner(), "me");
}

TEST_F(LaneClientTest, ASinkMaySkipABlockAndMayNotChangeItsSize) {
  node_.Store("a", "aaa");
  node_.Store("b", "bbb");
  Open();
  CollectingSink sink([](const Landing& landing) { return landing.index == 0 ? 0u : 2u; });
  const std::vector<std::string_view> keys{"a", "b"};
  std::vector<KeyResult> results(2);
  ASSERT_TRUE(lane_->Get(keys, sink, {.unpin_owner = {}, .deadline = In(1000)}, results).ok());
  EXPECT_EQ(results[0].outcome, Outcome::kSkipped);
  EXPECT_EQ(results[1].outcome, Outcome::kSize);
  EXPECT_EQ(sink.buffers[1], "..");
}

TEST(LaneClientPush, EveryPushedBlockIsTakenOffTheLane) {
  FakeNode node(TransportKind::kTcp);
  const std::unique_ptr<ClientTransport> transport = node.MakeTransport();
  node.Store("a", "aaa");
  node.Store("b", "bbb");
  auto lane = LaneClient::Open({}, kSession, node.OpenStream(), transport.get(), &node.clock,
                               node.clock.Now() + milliseconds(1000));
  ASSERT_TRUE(lane.ok());
  std::vector<std::pair<bool, size_t>> moved;
  node.on_moved = [&](std::span<Transfer> batch) {
    for (const Transfer& t : batch) moved.emplace_back(t.token.pushed, t.local.size());
  };
  std::string short_buffer(2, '.'), buffer(3, '.');
  const std::array slices{std::as_writable_bytes(std::span(short_buffer)),
                          std::as_writable_bytes(std::span(buffer))};
  const std::vector<GetItem> items{{"a", std::span(&slices[0], 1)},
                                   {"b", std::span(&slices[1], 1)}};
  std::vector<KeyResult> results(2);
  ASSERT_TRUE((*lane)
                  ->Get(items, {.unpin_owner = {}, .deadline = node.clock.Now() + milliseconds(9)},
                        results)
                  .ok());
  // The block of the wrong size comes too, and is dropped.
  EXPECT_THAT(moved, ElementsAre(std::pair(true, 0u), std::pair(true, 1u)));
  EXPECT_EQ(results[0].outcome, Outcome::kSize);
  EXPECT_EQ(results[1].outcome, Outcome::kOk);
  EXPECT_EQ(buffer, "bbb");
}

TEST_F(LaneClientTest, PutCommitsTheChecksumOfWhatItSent) {
  Open();
  EXPECT_EQ(PutOne("k", "abcdef").outcome, Outcome::kOk);
  EXPECT_EQ(node_.blocks["k"].bytes, "abcdef");
  EXPECT_EQ(node_.blocks["k"].attributes, "attributes");
  EXPECT_EQ(node_.blocks["k"].checksum, BlockChecksum(ChecksumSeed("k"), std::as_bytes(std::span(
                                            std::string_view("abcdef")))));
  EXPECT_EQ(node_.requests[0].grant_writes().op_id(), 9u);
  EXPECT_EQ(node_.requests[1].commit().op_id(), 9u);
}

TEST_F(LaneClientTest, APutThatIsStoredAlreadyMovesNothing) {
  node_.Store("k", "abcdef");
  Open();
  EXPECT_EQ(PutOne("k", "ghijkl").outcome, Outcome::kExists);
  EXPECT_THAT(node_.requests, SizeIs(1));
}

TEST_F(LaneClientTest, AnOpThatCommittedBeforeIsDone) {
  Open();
  node_.on_response = [](v1::LaneResponse* response) {
    if (!response->has_grant_writes()) return;
    response->mutable_grant_writes()->mutable_grants(0)->set_lease(0);
  };
  EXPECT_EQ(PutOne("k", "abcdef").outcome, Outcome::kOk);
  EXPECT_THAT(node_.requests, SizeIs(1));
}

TEST_F(LaneClientTest, APutThatOutlivedItsGrantIsAbortedNotCommitted) {
  Open();
  node_.lanes_time_out = false;
  node_.on_moved = [this](std::span<Transfer>) { node_.clock.Advance(milliseconds(4'950)); };
  EXPECT_EQ(PutOne("k", "abcdef").outcome, Outcome::kLate);
  EXPECT_THAT(node_.blocks, IsEmpty());
  EXPECT_TRUE(node_.requests.back().has_abort());
  EXPECT_THAT(node_.open_writes, IsEmpty());
}

TEST_F(LaneClientTest, AWriteThatMayStillLandIsNeverAborted) {
  Open();
  node_.on_moved = [](std::span<Transfer> batch) {
    batch[0].status = absl::DeadlineExceededError("no completion");
  };
  EXPECT_EQ(PutOne("k", "abcdef").outcome, Outcome::kLate);
  EXPECT_THAT(node_.aborted, IsEmpty());
  EXPECT_THAT(node_.open_writes, SizeIs(1));
  EXPECT_FALSE(lane_->usable());
}

TEST_F(LaneClientTest, AWriteThatTheServerRefusedIsAborted) {
  Open();
  node_.on_moved = [](std::span<Transfer> batch) {
    batch[0].status = absl::PermissionDeniedError("no such lease");
  };
  EXPECT_EQ(PutOne("k", "abcdef").outcome, Outcome::kOther);
  EXPECT_THAT(node_.aborted, SizeIs(1));
  EXPECT_TRUE(lane_->usable());
}

TEST_F(LaneClientTest, WhatArrivedIsCommittedBesideWhatDidNot) {
  Open();
  node_.on_moved = [](std::span<Transfer> batch) {
    batch[1].status = absl::PermissionDeniedError("no such lease");
  };
  const std::array payloads{AsBytes("aaa"), AsBytes("bbb"), AsBytes("ccc")};
  const std::vector<PutItem> items{{"a", std::span(&payloads[0], 1), {}},
                                   {"b", std::span(&payloads[1], 1), {}},
                                   {"c", std::span(&payloads[2], 1), {}}};
  std::vector<KeyResult> results(3);
  ASSERT_TRUE(lane_->Put(items, {.op_id = 1, .replace = false, .deadline = In(1000)}, results)
                  .ok());
  EXPECT_EQ(results[0].outcome, Outcome::kOk);
  EXPECT_EQ(results[1].outcome, Outcome::kOther);
  EXPECT_EQ(results[2].outcome, Outcome::kOk);
  EXPECT_EQ(node_.blocks["a"].bytes + node_.blocks["c"].bytes, "aaaccc");
  EXPECT_EQ(node_.blocks["c"].checksum, BlockChecksum(ChecksumSeed("c"), AsBytes("ccc")));
  EXPECT_EQ(node_.blocks.count("b"), 0u);
}

TEST_F(LaneClientTest, WhatIsPendingIsAskedForThoughNothingElseArrived) {
  Open();
  node_.on_moved = [](std::span<Transfer> transfers) {
    for (Transfer& transfer : transfers) {
      transfer.status = absl::PermissionDeniedError("write: the token does not fit");
    }
  };
  node_.on_response = [](v1::LaneResponse* response) {
    if (response->has_grant_writes()) {
      response->mutable_grant_writes()->mutable_grants(0)->set_outcome(
          v1::KEY_OUTCOME_PENDING);
    } else if (response->has_commit()) {
      response->mutable_commit()->set_outcomes(0, v1::KEY_OUTCOME_EXISTS);
    }
  };
  const std::string_view bytes = "bytes";
  const std::array slices{std::as_bytes(std::span(bytes))};
  const std::vector<PutItem> items{{"stored", slices, ""}, {"refused", slices, ""}};
  std::vector<KeyResult> results(2);
  ASSERT_TRUE(lane_->Put(items, {.op_id = 9, .replace = false, .deadline = In(1000)}, results)
                  .ok());
  EXPECT_EQ(results[0].outcome, Outcome::kExists);
  EXPECT_EQ(results[1].outcome, Outcome::kOther);
}

TEST_F(LaneClientTest, ALostCommitReplyLeavesTheOutcomeOpen) {
  Open();
  node_.on_request = [](const v1::LaneRequest& request) {
    return request.has_commit() ? absl::UnavailableError("gone") : absl::OkStatus();
  };
  EXPECT_EQ(PutOne("k", "abcdef").outcome, Outcome::kNodeDown);
  EXPECT_EQ(status_.code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(lane_->usable());
}

TEST_F(LaneClientTest, ACommitOfAnExpiredGrantIsLate) {
  Open();
  node_.on_response = [](v1::LaneResponse* response) {
    if (!response->has_commit()) return;
    response->mutable_commit()->set_outcomes(0, v1::KEY_OUTCOME_EXPIRED);
  };
  EXPECT_EQ(PutOne("k", "abcdef").outcome, Outcome::kLate);
}

TEST_F(LaneClientTest, LookupAnswersOneResidencyAKey) {
  node_.Store("b", "x");
  Open();
  const std::vector<std::string_view> keys{"a", "b"};
  const auto response = lane_->Lookup(
      keys, {.pin_owner = "me", .pin_ttl = milliseconds(700), .pin_all = true, .deadline = In(99)});
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ((*response)->residency()[0], v1::RESIDENCY_ABSENT);
  EXPECT_EQ((*response)->residency()[1], v1::RESIDENCY_MEMORY);
  EXPECT_EQ(node_.requests[0].lookup().pin_owner(), "me");
  EXPECT_EQ(node_.requests[0].lookup().pin_ttl_ms(), 700u);
}

TEST_F(LaneClientTest, RemoveTellsWhatWasThere) {
  node_.Store("b", "x");
  Open();
  const std::vector<std::string_view> keys{"a", "b"};
  std::vector<KeyResult> results(2);
  ASSERT_TRUE(lane_->Remove(keys, In(99), results).ok());
  EXPECT_EQ(results[0].outcome, Outcome::kAbsent);
  EXPECT_EQ(results[1].outcome, Outcome::kOk);
}

TEST_F(LaneClientTest, RemoveAsksOnlyForItsOwnKeysAfterAGetThatRanOutOfTime) {
  node_.Store("k", "x");
  Open();
  node_.on_response = [this](v1::LaneResponse* response) {
    for (v1::ReadGrant& grant : *response->mutable_grant_reads()->mutable_grants()) {
      grant.set_outcome(v1::KEY_OUTCOME_PROMOTING);
    }
    node_.clock.Advance(milliseconds(90));
  };
  std::vector<std::string_view> keys{"a", "b", "c"};
  std::vector<KeyResult> results(3);
  CollectingSink sink([](const Landing& landing) { return landing.size_bytes; });
  ASSERT_TRUE(lane_->Get(keys, sink, {.unpin_owner = {}, .deadline = In(100)}, results).ok());
  EXPECT_EQ(results[2].outcome, Outcome::kLate);
  node_.requests.clear();
  node_.on_response = [this](v1::LaneResponse* response) {
    if (node_.requests.size() > 1) return;
    response->mutable_remove()->set_outcomes(0, v1::KEY_OUTCOME_PENDING);
  };
  keys.assign({"k"});
  results.resize(1);
  ASSERT_TRUE(lane_->Remove(keys, In(99), results).ok());
  EXPECT_EQ(results[0].outcome, Outcome::kOk);
  ASSERT_THAT(node_.requests, SizeIs(2));
  EXPECT_THAT(node_.requests[1].remove().keys(), ElementsAre("k"));
}

TEST_F(LaneClientTest, DestructionEndsTheStreamAndTheDataPath) {
  Open();
  EXPECT_EQ(node_.streams_open + node_.lanes_open, 2);
  lane_.reset();
  EXPECT_EQ(node_.streams_open + node_.lanes_open, 0);
}

}  // namespace
}  // namespace kvasir
