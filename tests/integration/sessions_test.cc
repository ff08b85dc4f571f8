// Sessions, lanes and limits of the real server, over bare gRPC.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "base/status_reason.h"
#include "proto/codec.h"
#include "tests/integration/raw_session.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;
using Stub = v1::KvService::Stub;

class SessionsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto started = ServerProcess::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = started->release();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }

  // Waits for `value` of a gauge or counter, which the reaper changes some time later.
  void AwaitStat(const std::string& name, double value) {
    RawStubs stubs(server_->listen());
    v1::GetStatsResponse stats;
    for (const Instant end = Clock::Real()->Now() + std::chrono::seconds(30);
         Clock::Real()->Now() < end;) {
      ASSERT_TRUE(stubs.admin->GetStats(NewContext().get(), {}, &stats).ok());
      if (stats.values().at(name) == value) return;
    }
    FAIL() << name << " is " << stats.values().at(name) << ", not " << value;
  }

  static ServerProcess* server_;
};
ServerProcess* SessionsTest::server_ = nullptr;

TEST_F(SessionsTest, ASessionIsToldWhatItNeedsToKnow) {
  RawSession session(server_->listen());
  const v1::OpenSessionResponse& opened = session.opened();
  EXPECT_EQ(opened.session().size(), 16u);
  EXPECT_NE(opened.epoch(), 0u);
  EXPECT_EQ(opened.node_name(), "test");
  EXPECT_THAT(opened.transports(),
              testing::ElementsAre(v1::TRANSPORT_KIND_SHM, v1::TRANSPORT_KIND_TCP));
  EXPECT_EQ(opened.keys_per_call_max(), kMaxKeysPerCall);
  EXPECT_EQ(opened.silence_ms(), 3'000u);
}

TEST_F(SessionsTest, ASessionThatNobodyOpenedIsRefusedWithAReason) {
  RawStubs stubs(server_->listen());
  v1::LookupRequest request;
  request.set_session(std::string(16, 'x'));
  v1::LookupResponse response;
  const grpc::Status status = stubs.kv->Lookup(NewContext().get(), request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(ReasonIn(status), kReasonSessionUnknown);
}

TEST_F(SessionsTest, ASessionOfTheWrongLengthIsABadRequest) {
  RawStubs stubs(server_->listen());
  for (const size_t bytes : {0, 15, 17, 4096}) {
    v1::LookupRequest request;
    request.set_session(std::string(bytes, 'x'));
    v1::LookupResponse response;
    const grpc::Status status = stubs.kv->Lookup(NewContext().get(), request, &response);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(ReasonIn(status), kReasonBadRequest);
  }
}

TEST_F(SessionsTest, AClosedSessionIsGoneAndClosingAgainIsNoError) {
  RawSession session(server_->listen());
  v1::CloseSessionResponse closed;
  EXPECT_TRUE(session.Call(&Stub::CloseSession, v1::CloseSessionRequest(), &closed).ok());
  EXPECT_TRUE(session.Call(&Stub::CloseSession, v1::CloseSessionRequest(), &closed).ok());
  v1::LookupResponse response;
  EXPECT_EQ(session.Call(&Stub::Lookup, v1::LookupRequest(), &response).error_code(),
            StatusCode::UNAUTHENTICATED);
}

TEST_F(SessionsTest, TheEndOfTheHeartbeatEndsTheSession) {
  RawSession session(server_->listen());
  {
    const auto context = NewContext();
    const auto heartbeat = session.stubs().kv->Heartbeat(context.get());
    v1::HeartbeatRequest beat;
    beat.set_session(session.id());
    v1::HeartbeatResponse answer;
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(heartbeat->Write(beat));
      ASSERT_TRUE(heartbeat->Read(&answer));
      EXPECT_FALSE(answer.draining());
    }
    heartbeat->WritesDone();
    EXPECT_TRUE(heartbeat->Finish().ok());
  }
  v1::LookupResponse response;
  grpc::Status status;
  do {  // The server ends the session after it has ended the stream.
    status = session.Call(&Stub::Lookup, v1::LookupRequest(), &response);
  } while (status.ok());
  EXPECT_EQ(ReasonIn(status), kReasonSessionUnknown);
}

TEST_F(SessionsTest, AHeartbeatOfNobodyOrOfTwoIsRefused) {
  RawSession one(server_->listen()), two(server_->listen());
  v1::HeartbeatRequest beat;
  v1::HeartbeatResponse answer;
  {
    const auto context = NewContext();
    const auto heartbeat = one.stubs().kv->Heartbeat(context.get());
    beat.set_session(std::string(16, 'x'));
    heartbeat->Write(beat);
    EXPECT_FALSE(heartbeat->Read(&answer));
    EXPECT_EQ(ReasonIn(heartbeat->Finish()), kReasonSessionUnknown);
  }
  const auto context = NewContext();
  const auto heartbeat = one.stubs().kv->Heartbeat(context.get());
  beat.set_session(one.id());
  heartbeat->Write(beat);
  ASSERT_TRUE(heartbeat->Read(&answer));
  beat.set_session(two.id());
  heartbeat->Write(beat);
  EXPECT_FALSE(heartbeat->Read(&answer));
  EXPECT_EQ(heartbeat->Finish().error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(SessionsTest, ALaneMovesABlockThereAndBack) {
  RawSession session(server_->listen());
  RawLane lane(&session);
  ASSERT_TRUE(lane.Open().ok());
  const std::string value(300'000, 'v');
  ASSERT_EQ(lane.Put("there and back", value), absl::OkStatus());
  EXPECT_EQ(*lane.Get("there and back"), value);
  EXPECT_EQ(lane.Get("elsewhere").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(lane.Finish().ok());
}

TEST_F(SessionsTest, ALaneMustBeginWithOpen) {
  RawSession session(server_->listen());
  RawLane lane(&session);
  v1::LaneRequest request;
  request.mutable_lookup()->add_keys("k");
  lane.Write(request);
  v1::LaneResponse response;
  EXPECT_FALSE(lane.Read(&response));
  const grpc::Status status = lane.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonIn(status), kReasonBadRequest);
}

TEST_F(SessionsTest, AnOpenThatFailsMayBeTriedAgainOnTheStream) {
  RawSession session(server_->listen());
  RawLane lane(&session);
  v1::LaneRequest request;
  request.mutable_open()->set_session(std::string(16, 'x'));
  request.mutable_open()->set_transport(v1::TRANSPORT_KIND_TCP);
  EXPECT_EQ(lane.Exchange(request).error().reason(), kReasonSessionUnknown);
  request.mutable_open()->set_session("short");
  EXPECT_EQ(lane.Exchange(request).error().reason(), kReasonBadRequest);
  request.mutable_open()->set_session(session.id());
  for (const int kind : {0, 1, 77}) {  // Unspecified, not offered, unknown.
    request.mutable_open()->set_transport(static_cast<v1::TransportKind>(kind));
    const v1::LaneResponse response = lane.Exchange(request);
    EXPECT_TRUE(response.has_error()) << response.DebugString();
    EXPECT_NE(response.error().code(), static_cast<int>(StatusCode::UNAVAILABLE));
  }
  EXPECT_EQ(lane.Open(), absl::OkStatus());
}

TEST_F(SessionsTest, ASecondOpenIsRefusedAndTheLaneGoesOn) {
  RawSession session(server_->listen());
  RawLane lane(&session);
  ASSERT_TRUE(lane.Open().ok());
  v1::LaneRequest request;
  request.mutable_open()->set_session(session.id());
  request.mutable_open()->set_transport(v1::TRANSPORT_KIND_TCP);
  EXPECT_EQ(lane.Exchange(request).error().reason(), kReasonBadRequest);
  EXPECT_EQ(lane.Put("after a second open", "value"), absl::OkStatus());
}

TEST_F(SessionsTest, ALaneEndsWhenItsSessionDoes) {
  RawSession session(server_->listen());
  RawLane lane(&session);
  ASSERT_TRUE(lane.Open().ok());
  v1::CloseSessionResponse closed;
  ASSERT_TRUE(session.Call(&Stub::CloseSession, v1::CloseSessionRequest(), &closed).ok());
  v1::LaneRequest request;
  request.mutable_lookup()->add_keys("k");
  EXPECT_EQ(lane.Exchange(request).error().reason(), kReasonSessionUnknown);
  v1::LaneResponse response;
  EXPECT_FALSE(lane.Read(&response));
}

TEST_F(SessionsTest, LimitsAreRefusedByNumberAndTheSessionGoesOn) {
  RawSession session(server_->listen());
  v1::LookupRequest request;
  for (size_t i = 0; i <= kMaxKeysPerCall; ++i) request.add_keys("k");
  v1::LookupResponse response;
  const grpc::Status status = session.Call(&Stub::Lookup, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonIn(status), kReasonLimit);
  EXPECT_THAT(status.error_message(), HasSubstr("1025"));
  request.mutable_keys()->RemoveLast();
  EXPECT_TRUE(session.Call(&Stub::Lookup, request, &response).ok());
  EXPECT_EQ(response.residency().size(), kMaxKeysPerCall);
}

TEST_F(SessionsTest, KeysOutsideTheLimitsAreInvalidOneByOne) {
  RawSession session(server_->listen());
  RawLane lane(&session);
  ASSERT_TRUE(lane.Open().ok());
  v1::LaneRequest request;
  v1::GrantWritesRequest* const grant = request.mutable_grant_writes();
  for (const std::string& key :
       {std::string(), std::string(1025, 'k'), std::string("ok"),
        std::string("a\0/../b", 7), std::string("dup"), std::string("dup")}) {
    v1::WriteIntent* const write = grant->add_writes();
    write->set_key(key);
    write->set_size_bytes(4096);
  }
  grant->add_writes()->set_key("size 0");
  grant->add_writes()->set_key("size 2^63");
  grant->mutable_writes(7)->set_size_bytes(uint64_t{1} << 63);
  const v1::LaneResponse response = lane.Exchange(request);
  ASSERT_EQ(response.grant_writes().grants_size(), 8) << response.DebugString();
  const v1::KeyOutcome expected[] = {
      v1::KEY_OUTCOME_INVALID, v1::KEY_OUTCOME_INVALID, v1::KEY_OUTCOME_OK,
      v1::KEY_OUTCOME_OK,      v1::KEY_OUTCOME_OK,      v1::KEY_OUTCOME_INVALID,
      v1::KEY_OUTCOME_INVALID, v1::KEY_OUTCOME_INVALID,
  };
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(response.grant_writes().grants(i).outcome(), expected[i]) << i;
  }
}

TEST_F(SessionsTest, AMessageAboveTheLimitIsRefusedAndTheServerGoesOn) {
  RawSession session(server_->listen());
  v1::LookupRequest request;
  request.add_keys(std::string(kMaxMessageBytes, 'k'));
  v1::LookupResponse response;
  EXPECT_EQ(session.Call(&Stub::Lookup, request, &response).error_code(),
            StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(session.Call(&Stub::Lookup, v1::LookupRequest(), &response).ok());
}

TEST_F(SessionsTest, AClientThatVanishesLeavesNothingBehind) {
  {
    RawSession session(server_->listen());
    const auto context = NewContext();
    const auto heartbeat = session.stubs().kv->Heartbeat(context.get());
    v1::HeartbeatRequest beat;
    beat.set_session(session.id());
    heartbeat->Write(beat);
    v1::HeartbeatResponse answer;
    ASSERT_TRUE(heartbeat->Read(&answer));
    RawLane lane(&session);
    ASSERT_TRUE(lane.Open().ok());
    ASSERT_TRUE(lane.Grant("never committed", 1'000'000).ok());
    context->TryCancel();
  }
  AwaitStat("write_leases", 0);
  AwaitStat("quarantined_blocks", 0);
  AwaitStat("lanes", 0);
}

}  // namespace
}  // namespace kvasir
