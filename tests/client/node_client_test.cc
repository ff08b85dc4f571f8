#include "client/node_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/status_reason.h"
#include "tests/client/fake_node.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class NodeClientTest : public ::testing::Test {
 protected:
  void Make(std::vector<ClientTransport*> ladder) {
    NodeClient::Options options;
    options.name = "kv-0";
    options.lanes_max = 2;
    client_ = std::make_unique<NodeClient>(options, node_.MakeChannel(), std::move(ladder),
                                           &node_.clock, &counters_);
  }
  void Connect() {
    Make({transport_.get()});
    const absl::Status status = client_->Connect(In(1000));
    ASSERT_TRUE(status.ok()) << status;
    node_.requests.clear();
  }
  Instant In(int ms) const { return node_.clock.Now() + milliseconds(ms); }

  Outcome Get(std::string_view key, size_t size_bytes = 3, int timeout_ms = 1000) {
    buffer_.assign(size_bytes, '.');
    const std::span<std::byte> slice = std::as_writable_bytes(std::span(buffer_));
    const GetItem item{key, std::span(&slice, 1)};
    KeyResult result;
    client_->Get(std::span(&item, 1), {.unpin_owner = {}, .deadline = In(timeout_ms)},
                 std::span(&result, 1));
    return result.outcome;
  }
  Outcome Put(std::string_view key, std::string_view bytes) {
    const std::span<const std::byte> slice = std::as_bytes(std::span(bytes));
    const PutItem item{key, std::span(&slice, 1), {}};
    KeyResult result;
    client_->Put(std::span(&item, 1), {.replace = false, .deadline = In(1000)},
                 std::span(&result, 1));
    return result.outcome;
  }

  FakeNode node_;
  const std::unique_ptr<ClientTransport> transport_ = node_.MakeTransport();
  Counters counters_;
  std::unique_ptr<NodeClient> client_;
  std::string buffer_;
};

TEST_F(NodeClientTest, ConnectOpensASessionAndItsFirstLane) {
  Connect();
  EXPECT_EQ(node_.sessions_opened, 1);
  EXPECT_EQ(node_.lanes_open, 1);
  EXPECT_EQ(node_.heartbeats_open, 1);
  EXPECT_EQ(client_->transport(), TransportKind::kShm);
}

TEST_F(NodeClientTest, WithoutASessionEveryKeyMissesWithoutIo) {
  Make({transport_.get()});
  EXPECT_EQ(Get("k"), Outcome::kNodeDown);
  EXPECT_EQ(Put("k", "abc"), Outcome::kNodeDown);
  EXPECT_EQ(node_.streams_open, 0);
  EXPECT_EQ(counters_.Read().misses_node_down, 1u);
  EXPECT_EQ(counters_.Read().put_failures, 1u);
}

TEST_F(NodeClientTest, APingIsOkOnlyWithASession) {
  Make({transport_.get()});
  EXPECT_EQ(client_->Ping(In(1000)).code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(client_->Connect(In(1000)).ok());
  EXPECT_TRUE(client_->Ping(In(1000)).ok());
}

TEST_F(NodeClientTest, GetsAndPutsCount) {
  Connect();
  EXPECT_EQ(Put("k", "abc"), Outcome::kOk);
  EXPECT_EQ(Put("k", "abc"), Outcome::kExists);
  EXPECT_EQ(Get("k"), Outcome::kOk);
  EXPECT_EQ(buffer_, "abc");
  EXPECT_EQ(Get("absent"), Outcome::kAbsent);
  EXPECT_EQ(Get("k", 4), Outcome::kSize);
  const ClientCounters counters = counters_.Read();
  EXPECT_EQ(counters.hits, 1u);
  EXPECT_EQ(counters.misses, 2u);
  EXPECT_EQ(counters.misses_absent, 1u);
  EXPECT_EQ(counters.misses_size, 1u);
  EXPECT_EQ(counters.puts, 1u);
  EXPECT_EQ(counters.put_failures, 0u);
  EXPECT_EQ(counters.got_bytes_shm, 3u);
  EXPECT_EQ(counters.put_bytes_shm, 3u);
}

TEST_F(NodeClientTest, TheFirstTransportThatWorksIsTaken) {
  FakeNode rdma(TransportKind::kRdma), tcp(TransportKind::kTcp);
  const auto rdma_transport = rdma.MakeTransport();
  const auto tcp_transport = tcp.MakeTransport();
  node_.connect_status = absl::FailedPreconditionError("another container");
  node_.offered = {v1::TRANSPORT_KIND_SHM, v1::TRANSPORT_KIND_TCP};
  Make({transport_.get(), rdma_transport.get(), tcp_transport.get()});
  ASSERT_TRUE(client_->Connect(In(1000)).ok());
  EXPECT_EQ(client_->transport(), TransportKind::kTcp);
  EXPECT_EQ(counters_.Read().transport_fallbacks, 1u);  // rdma was not offered.
  client_.reset();  // Before the other nodes, whose lanes it holds.
}

TEST_F(NodeClientTest, ABatchMaySpreadOverTheFreeLanesOfRdma) {
  FakeNode rdma(TransportKind::kRdma);
  const auto rdma_transport = rdma.MakeTransport();
  NodeClient client({.name = "kv-1", .lanes_max = 2}, rdma.MakeChannel(),
                    {rdma_transport.get()}, &rdma.clock, &counters_);
  EXPECT_EQ(client.stripes_max(), 1u);
  ASSERT_TRUE(client.Connect(rdma.clock.Now() + milliseconds(1000)).ok());
  EXPECT_EQ(client.stripes_max(), kStripesMax);
  size_t meanwhile = 0;
  rdma.on_request = [&](const v1::LaneRequest&) {
    meanwhile = client.stripes_max();
    return absl::OkStatus();
  };
  ASSERT_TRUE(client.UnpinOwner("owner", rdma.clock.Now() + milliseconds(1000)).ok());
  EXPECT_EQ(meanwhile, 1u);
}

TEST_F(NodeClientTest, OtherTransportsMoveABatchOverOneLane) {
  Connect();
  EXPECT_EQ(client_->stripes_max(), 1u);
}

TEST_F(NodeClientTest, ANamedTransportThatDoesNotWorkFailsClosed) {
  node_.connect_status = absl::FailedPreconditionError("another container");
  node_.offered = {v1::TRANSPORT_KIND_SHM, v1::TRANSPORT_KIND_TCP};
  Make({transport_.get()});
  EXPECT_EQ(client_->Connect(In(1000)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(node_.sessions_closed, 1);
  EXPECT_EQ(node_.heartbeats_open, 0);
  EXPECT_EQ(Get("k"), Outcome::kNodeDown);
}

TEST_F(NodeClientTest, ATransportThatStoppedToWorkIsChosenAgain) {
  for (const absl::Status& why : {absl::UnavailableError("the socket is gone"),
                                  absl::FailedPreconditionError("the device is gone")}) {
    FakeNode tcp(TransportKind::kTcp);
    const auto tcp_transport = tcp.MakeTransport();
    node_.connect_status = absl::OkStatus();
    node_.offered = {v1::TRANSPORT_KIND_SHM, v1::TRANSPORT_KIND_TCP};
    Make({transport_.get(), tcp_transport.get()});
    ASSERT_TRUE(client_->Connect(In(1000)).ok());
    ASSERT_EQ(client_->transport(), TransportKind::kShm);
    node_.on_request = [](const v1::LaneRequest&) { return absl::UnavailableError("cut"); };
    client_->UnpinOwner("breaks the only lane", In(1)).IgnoreError();
    node_.on_request = nullptr;
    node_.connect_status = why;
    EXPECT_NE(Get("k"), Outcome::kOk);
    node_.clock.Advance(milliseconds(1000));
    client_->Step();
    EXPECT_EQ(client_->transport(), TransportKind::kTcp) << why;
    client_.reset();  // Before the other node, whose lanes it holds.
  }
}

TEST_F(NodeClientTest, ADrainingNodeIsAskedForGetsAlone) {
  node_.Store("k", "abc");
  Connect();
  node_.draining = true;
  node_.clock.Advance(milliseconds(1000));
  client_->Step();
  EXPECT_EQ(Put("new", "abc"), Outcome::kNodeDown);
  EXPECT_TRUE(node_.requests.empty());
  EXPECT_EQ(counters_.Read().put_failures, 1u);
  EXPECT_EQ(Get("k"), Outcome::kOk);
  node_.draining = false;
  node_.clock.Advance(milliseconds(1000));
  client_->Step();
  EXPECT_EQ(Put("new", "abc"), Outcome::kOk);
}

TEST_F(NodeClientTest, StepBeatsWhenABeatIsDue) {
  Connect();
  EXPECT_EQ(node_.beats, 1);
  client_->Step();
  EXPECT_EQ(node_.beats, 1);
  node_.clock.Advance(milliseconds(1000));
  client_->Step();
  EXPECT_EQ(node_.beats, 2);
}

TEST_F(NodeClientTest, ALostHeartbeatEndsTheSessionAndStepOpensAnother) {
  node_.Store("k", "abc");
  Connect();
  node_.beat_status = absl::UnavailableError("gone");
  node_.session_status = absl::UnavailableError("gone");
  node_.clock.Advance(milliseconds(1000));
  client_->Step();
  EXPECT_EQ(node_.lanes_open, 0);
  EXPECT_EQ(client_->transport(), std::nullopt);
  EXPECT_EQ(Get("k"), Outcome::kNodeDown);

  node_.beat_status = absl::OkStatus();
  node_.session_status = absl::OkStatus();
  node_.epoch = 2;
  client_->Step();
  EXPECT_EQ(node_.sessions_opened, 1);  // The attempt that failed makes a pause.
  node_.clock.Advance(milliseconds(250));
  client_->Step();
  EXPECT_EQ(Get("k"), Outcome::kOk);
  EXPECT_EQ(node_.sessions_opened, 2);
  EXPECT_EQ(counters_.Read().reconnects, 1u);
}

TEST_F(NodeClientTest, ACallThatFoundTheNodeGoneMakesStepAskAtOnce) {
  Connect();
  node_.on_request = [](const v1::LaneRequest&) { return absl::UnavailableError("reset"); };
  EXPECT_EQ(Get("k"), Outcome::kNodeDown);
  EXPECT_EQ(node_.beats, 1);
  client_->Step();
  EXPECT_EQ(node_.beats, 2);
}

TEST_F(NodeClientTest, ASessionThatTheNodeForgotIsOpenedAnew) {
  node_.Store("k", "abc");
  Connect();
  node_.on_response = [](v1::LaneResponse* response) {
    response->mutable_error()->set_code(static_cast<int>(absl::StatusCode::kUnauthenticated));
    response->mutable_error()->set_reason(std::string(kReasonSessionUnknown));
  };
  EXPECT_EQ(Get("k"), Outcome::kNodeDown);
  EXPECT_EQ(node_.requests.size(), 1u);  // Asking again would not help.
  node_.on_response = nullptr;
  client_->Step();
  EXPECT_EQ(node_.sessions_opened, 2);
  EXPECT_EQ(Get("k"), Outcome::kOk);
}

TEST_F(NodeClientTest, AGetThatFoundABrokenLaneIsAskedAgainOnAnother) {
  node_.Store("k", "abc");
  Connect();
  int calls = 0;
  node_.on_request = [&](const v1::LaneRequest& request) {
    if (!request.has_grant_reads()) return absl::OkStatus();
    return ++calls == 1 ? absl::UnavailableError("reset") : absl::OkStatus();
  };
  EXPECT_EQ(Get("k"), Outcome::kOk);
  EXPECT_EQ(counters_.Read().retries, 1u);
}

TEST_F(NodeClientTest, APutIsAskedAgainUnderTheSameOpId) {
  Connect();
  int commits = 0;
  node_.on_request = [&](const v1::LaneRequest& request) {
    if (!request.has_commit()) return absl::OkStatus();
    return ++commits == 1 ? absl::UnavailableError("reset") : absl::OkStatus();
  };
  EXPECT_EQ(Put("k", "abc"), Outcome::kOk);
  std::vector<uint64_t> op_ids;
  for (const v1::LaneRequest& request : node_.requests) {
    if (request.has_grant_writes()) op_ids.push_back(request.grant_writes().op_id());
  }
  ASSERT_EQ(op_ids.size(), 2u);
  EXPECT_EQ(op_ids[0], op_ids[1]);
  EXPECT_NE(op_ids[0], 0u);
  EXPECT_EQ(Put("l", "abc"), Outcome::kOk);
  EXPECT_NE(node_.requests.back().commit().op_id(), op_ids[0]);
}

TEST_F(NodeClientTest, ARemoveIsNeverAskedTwice) {
  Connect();
  node_.on_request = [](const v1::LaneRequest&) { return absl::UnavailableError("reset"); };
  const std::string_view key = "k";
  KeyResult result;
  client_->Remove(std::span(&key, 1), In(1000), std::span(&result, 1));
  EXPECT_EQ(result.outcome, Outcome::kNodeDown);
  EXPECT_EQ(node_.requests.size(), 1u);
}

TEST_F(NodeClientTest, RetriesAreBounded) {
  Connect();
  node_.on_request = [](const v1::LaneRequest&) { return absl::UnavailableError("reset"); };
  EXPECT_EQ(Get("k"), Outcome::kNodeDown);
  EXPECT_LE(node_.requests.size(), 1u + NodeClient::kRetriesMax);
}

TEST_F(NodeClientTest, ABreakerThatOpenedAnswersWithoutIo) {
  Connect();
  node_.on_request = [](const v1::LaneRequest&) { return absl::UnavailableError("reset"); };
  for (int i = 0; i < 5; ++i) Get("k");
  node_.requests.clear();
  EXPECT_EQ(Get("k"), Outcome::kNodeDown);
  EXPECT_THAT(node_.requests, IsEmpty());

  node_.on_request = nullptr;
  node_.Store("k", "abc");
  node_.clock.Advance(std::chrono::seconds(10));
  EXPECT_EQ(Get("k"), Outcome::kOk);
}

TEST_F(NodeClientTest, CallsWithoutPatienceDoNotOpenTheBreaker) {
  node_.Store("k", "abc");
  Connect();
  node_.on_moved = [this](std::span<Transfer>) { node_.clock.Advance(milliseconds(60)); };
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Get("k", 3, 50), Outcome::kLate);
  node_.on_moved = nullptr;
  EXPECT_EQ(Get("k"), Outcome::kOk);
}

TEST_F(NodeClientTest, SilentNodesOpenTheBreaker) {
  Connect();
  node_.on_request = [this](const v1::LaneRequest& request) {
    if (request.has_grant_reads()) node_.clock.Advance(milliseconds(1000));
    return absl::OkStatus();
  };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Get("k"), Outcome::kLate);
  node_.requests.clear();
  EXPECT_EQ(Get("k"), Outcome::kNodeDown);
  EXPECT_THAT(node_.requests, IsEmpty());
}

TEST_F(NodeClientTest, LongBatchesGoInParts) {
  Connect();
  std::vector<std::string> names;
  for (int i = 0; i < 2500; ++i) names.push_back("key-" + std::to_string(10'000 + i));
  for (int i = 0; i < 2500; ++i) {
    if (i != 1500) node_.Store(names[i], "x");
  }
  const std::vector<std::string_view> keys(names.begin(), names.end());
  std::vector<KeyResult> results(keys.size());
  client_->Lookup(keys, {.pin_owner = "me", .deadline = In(1000)}, results);
  EXPECT_EQ(results[1499].outcome, Outcome::kOk);
  EXPECT_EQ(results[1500].outcome, Outcome::kAbsent);
  EXPECT_EQ(results[2499].outcome, Outcome::kOk);
  std::vector<std::pair<int, std::string>> parts;
  for (const v1::LaneRequest& request : node_.requests) {
    parts.emplace_back(request.lookup().keys_size(), request.lookup().pin_owner());
  }
  // The prefix breaks in the second part, so nothing of the third is pinned.
  EXPECT_THAT(parts, ElementsAre(std::pair(1024, "me"), std::pair(1024, "me"),
                                 std::pair(452, "")));
}

TEST_F(NodeClientTest, LookupTellsWhichHitsOnlyTheDiskHas) {
  Connect();
  node_.on_response = [](v1::LaneResponse* response) {
    if (!response->has_lookup()) return;
    *response->mutable_lookup()->mutable_residency() = {
        v1::RESIDENCY_MEMORY, v1::RESIDENCY_BOTH, v1::RESIDENCY_DISK, v1::RESIDENCY_ABSENT};
  };
  const std::vector<std::string_view> keys = {"memory", "both", "disk", "absent"};
  std::vector<KeyResult> results(keys.size());
  client_->Lookup(keys, {.deadline = In(1000)}, results);
  std::vector<bool> hits, on_disk;
  for (const KeyResult& result : results) {
    hits.push_back(result.outcome == Outcome::kOk);
    on_disk.push_back(result.on_disk);
  }
  EXPECT_THAT(hits, ElementsAre(true, true, true, false));
  EXPECT_THAT(on_disk, ElementsAre(false, false, true, false));
}

TEST_F(NodeClientTest, ASinkOfALongBatchSeesPositionsInAllOfIt) {
  class OffsetsSink final : public Sink {
   public:
    void Place(std::span<Landing> landings) override {
      for (const Landing& landing : landings) offered.push_back(landing.index);
    }
    std::vector<size_t> offered;
  } sink;
  Connect();
  node_.Store("k", "x");
  std::vector<std::string_view> keys(1500, "absent");
  keys[3] = keys[1400] = "k";
  std::vector<KeyResult> results(keys.size());
  client_->Get(keys, sink, {.unpin_owner = {}, .deadline = In(1000)}, results);
  EXPECT_THAT(sink.offered, ElementsAre(3, 1400));
}

TEST_F(NodeClientTest, ListTurnsPages) {
  Connect();
  for (int i = 0; i < 2500; ++i) node_.Store("key-" + std::to_string(10'000 + i), "x");
  const auto keys = client_->List("key-", 2100, In(1000));
  ASSERT_TRUE(keys.ok());
  ASSERT_EQ(keys->size(), 2100u);
  EXPECT_EQ(keys->back(), "key-12099");
}

TEST_F(NodeClientTest, CloseEndsTheSessionAndEverythingAfterMisses) {
  node_.Store("k", "abc");
  Connect();
  client_->Close();
  client_->Close();
  EXPECT_EQ(node_.sessions_closed, 1);
  EXPECT_EQ(node_.lanes_open + node_.streams_open + node_.heartbeats_open, 0);
  EXPECT_EQ(Get("k"), Outcome::kNodeDown);
  EXPECT_EQ(client_->Ping(In(1000)).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace kvasir
