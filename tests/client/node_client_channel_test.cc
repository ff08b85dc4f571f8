#include "client/node_client_channel.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "absl/synchronization/notification.h"
#include "base/status_reason.h"
#include "kvasir/v1/admin.grpc.pb.h"
#include "kvasir/v1/kv.grpc.pb.h"
#include "proto/grpc_status.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

constexpr SessionId kSession{1, 2};

grpc::Status SessionUnknown() {
  return ToGrpcStatus(
      WithReason(absl::UnauthenticatedError("no such session"), kReasonSessionUnknown));
}

// Answers a lane's lookup with one byte a key. A key "silence" gets no answer, "end" ends
// the stream, "refuse" gets a LaneError.
class ScriptedKv final : public v1::KvService::Service {
 public:
  grpc::Status OpenSession(grpc::ServerContext*, const v1::OpenSessionRequest* request,
                           v1::OpenSessionResponse* response) override {
    response->set_node_name("node of " + request->client_name());
    return grpc::Status::OK;
  }
  grpc::Status CloseSession(grpc::ServerContext*, const v1::CloseSessionRequest*,
                            v1::CloseSessionResponse*) override {
    return SessionUnknown();
  }
  grpc::Status Heartbeat(grpc::ServerContext*,
                         grpc::ServerReaderWriter<v1::HeartbeatResponse,
                                                  v1::HeartbeatRequest>* stream) override {
    v1::HeartbeatRequest request;
    v1::HeartbeatResponse response;
    while (stream->Read(&request)) {
      response.set_draining(request.session() == kSession.ToBytes());
      stream->Write(response);
    }
    return grpc::Status::OK;
  }
  grpc::Status Lane(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::LaneResponse, v1::LaneRequest>* stream) override {
    v1::LaneRequest request;
    while (stream->Read(&request)) {
      const std::string& key = request.lookup().keys(0);
      v1::LaneResponse response;
      if (key == "silence") continue;
      if (key == "end") return SessionUnknown();
      if (key == "refuse") {
        response.mutable_error()->set_code(grpc::StatusCode::INVALID_ARGUMENT);
        response.mutable_error()->set_message("no");
        response.mutable_error()->set_reason(std::string(kReasonLimit));
      } else {
        response.mutable_lookup()->set_residency(key);
      }
      stream->Write(response);
    }
    lanes_ended.fetch_add(1);
    if (lanes_ended.load() == 1) first_lane_ended.Notify();
    return grpc::Status::OK;
  }
  std::atomic<int> lanes_ended{0};
  absl::Notification first_lane_ended;
};

class ScriptedAdmin final : public v1::AdminService::Service {
 public:
  grpc::Status List(grpc::ServerContext*, const v1::ListRequest* request,
                    v1::ListResponse* response) override {
    response->add_keys()->set_key(request->prefix() + "1");
    response->set_next_page_token("from " + request->page_token());
    return grpc::Status::OK;
  }
};

class NodeClientChannelTest : public ::testing::Test {
 protected:
  NodeClientChannelTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&kv_);
    builder.RegisterService(&admin_);
    server_ = builder.BuildAndStart();
    channel_ = MakeNodeChannel({.address = "127.0.0.1:" + std::to_string(port)},
                               Clock::Real());
  }
  // Long enough to never pass in a test that expects an answer.
  static Instant Later() { return Clock::Real()->Now() + std::chrono::seconds(60); }
  static Instant Soon() { return Clock::Real()->Now() + milliseconds(20); }
  static v1::LaneRequest Ask(const std::string& key) {
    v1::LaneRequest request;
    request.mutable_lookup()->add_keys(key);
    return request;
  }

  ScriptedKv kv_;
  ScriptedAdmin admin_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<NodeChannel> channel_;
  v1::LaneResponse response_;
};

TEST_F(NodeClientChannelTest, AStreamAnswersOneRequestAfterAnother) {
  const std::unique_ptr<ControlStream> stream = channel_->OpenStream();
  for (const std::string key : {"one", "two", "three"}) {
    ASSERT_TRUE(stream->Exchange(Ask(key), &response_, Later()).ok());
    EXPECT_EQ(response_.lookup().residency(), key);
  }
}

TEST_F(NodeClientChannelTest, ALaneErrorIsAStatusAndTheStreamGoesOn) {
  const std::unique_ptr<ControlStream> stream = channel_->OpenStream();
  const absl::Status status = stream->Exchange(Ask("refuse"), &response_, Later());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), kReasonLimit);
  EXPECT_TRUE(stream->Exchange(Ask("one"), &response_, Later()).ok());
}

TEST_F(NodeClientChannelTest, ADeadlineEndsTheStream) {
  const std::unique_ptr<ControlStream> stream = channel_->OpenStream();
  ASSERT_TRUE(stream->Exchange(Ask("one"), &response_, Later()).ok());
  EXPECT_EQ(stream->Exchange(Ask("silence"), &response_, Soon()).code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(stream->Exchange(Ask("one"), &response_, Later()).code(),
            absl::StatusCode::kUnavailable);
  kv_.first_lane_ended.WaitForNotification();
}

TEST_F(NodeClientChannelTest, AStreamThatTheServerEndsSaysWhy) {
  const std::unique_ptr<ControlStream> stream = channel_->OpenStream();
  const absl::Status status = stream->Exchange(Ask("end"), &response_, Later());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(status), kReasonSessionUnknown);
  EXPECT_EQ(stream->Exchange(Ask("one"), &response_, Later()).code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(NodeClientChannelTest, DestructionEndsTheStreamAtTheServer) {
  std::unique_ptr<ControlStream> stream = channel_->OpenStream();
  ASSERT_TRUE(stream->Exchange(Ask("one"), &response_, Later()).ok());
  stream.reset();
  kv_.first_lane_ended.WaitForNotification();
}

TEST_F(NodeClientChannelTest, AStreamThatWasNeverUsedIsNeverOpened) {
  channel_->OpenStream().reset();
  channel_->OpenHeartbeat(kSession).reset();
  EXPECT_EQ(kv_.lanes_ended.load(), 0);
}

TEST_F(NodeClientChannelTest, AHeartbeatTellsWhetherTheServerDrains) {
  const std::unique_ptr<HeartbeatStream> draining = channel_->OpenHeartbeat(kSession);
  const std::unique_ptr<HeartbeatStream> other = channel_->OpenHeartbeat({});
  EXPECT_THAT(draining->Beat(Later()), ::testing::Property(&absl::StatusOr<bool>::ok, true));
  EXPECT_TRUE(*draining->Beat(Later()));
  EXPECT_FALSE(*other->Beat(Later()));
}

TEST_F(NodeClientChannelTest, ALostServerIsUnavailable) {
  const std::unique_ptr<ControlStream> stream = channel_->OpenStream();
  ASSERT_TRUE(stream->Exchange(Ask("one"), &response_, Later()).ok());
  server_->Shutdown(std::chrono::system_clock::now());
  EXPECT_EQ(stream->Exchange(Ask("one"), &response_, Later()).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(channel_->OpenStream()->Exchange(Ask("one"), &response_, Later()).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(channel_->OpenSession({}, Later()).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(NodeClientChannelTest, UnaryCallsCarryRequestsReasonsAndDeadlines) {
  v1::OpenSessionRequest request;
  request.set_client_name("me");
  const auto opened = channel_->OpenSession(request, Later());
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->node_name(), "node of me");
  EXPECT_EQ(ReasonOf(channel_->CloseSession(kSession, Later())), kReasonSessionUnknown);
  EXPECT_EQ(channel_->OpenSession(request, Clock::Real()->Now()).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(NodeClientChannelTest, AdminCallsSpeakBytes) {
  const auto page = channel_->List("k\xff", 10, "there", Later());
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(page->keys, ElementsAre("k\xff" "1"));
  EXPECT_EQ(page->next_page_token, "from there");
}

}  // namespace
}  // namespace kvasir
