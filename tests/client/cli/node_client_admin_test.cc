#include "client/node_client_admin.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "base/limits.h"
#include "base/status_reason.h"
#include "kvasir/v1/admin.grpc.pb.h"
#include "proto/grpc_status.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

// Answers each call in a way that tells which one it was.
class FakeAdminService final : public v1::AdminService::Service {
 public:
  grpc::Status Ping(grpc::ServerContext*, const v1::PingRequest*,
                    v1::PingResponse* response) override {
    response->set_node_name("n0");
    return grpc::Status::OK;
  }
  grpc::Status Exists(grpc::ServerContext*, const v1::ExistsRequest* request,
                      v1::ExistsResponse* response) override {
    for (int i = 0; i < request->keys_size(); ++i) {
      response->add_residencies(v1::RESIDENCY_BOTH);
    }
    return grpc::Status::OK;
  }
  // A page as large as pages get.
  grpc::Status List(grpc::ServerContext*, const v1::ListRequest*,
                    v1::ListResponse* response) override {
    for (size_t i = 0; i < kMaxListPageSize; ++i) {
      v1::KeyInfo* const info = response->add_keys();
      info->set_key(std::string(kMaxKeyBytes, '\1'));
      info->set_text(std::string(4 * kMaxKeyBytes, 'x'));
      info->set_attributes(std::string(kMaxAttributesBytes, '\1'));
    }
    return grpc::Status::OK;
  }
  grpc::Status Stat(grpc::ServerContext*, const v1::StatRequest*,
                    v1::StatResponse*) override {
    return ToGrpcStatus(absl::NotFoundError("stat: k is not stored"));
  }
  grpc::Status Pin(grpc::ServerContext*, const v1::PinRequest*,
                   v1::PinResponse*) override {
    return ToGrpcStatus(WithReason(absl::UnavailableError("pin: the node drains"),
                                   kReasonDraining, milliseconds(1500)));
  }
  grpc::Status Unpin(grpc::ServerContext*, const v1::UnpinRequest*,
                     v1::UnpinResponse* response) override {
    response->set_unpinned_count(3);
    return grpc::Status::OK;
  }
  grpc::Status ListPins(grpc::ServerContext*, const v1::ListPinsRequest*,
                        v1::ListPinsResponse* response) override {
    response->add_pins()->set_owner("o");
    return grpc::Status::OK;
  }
  grpc::Status RemoveKeys(grpc::ServerContext*, const v1::RemoveKeysRequest*,
                          v1::RemoveKeysResponse* response) override {
    response->add_outcomes(v1::KEY_OUTCOME_MISS);
    return grpc::Status::OK;
  }
  grpc::Status Clear(grpc::ServerContext*, const v1::ClearRequest*,
                     v1::ClearResponse* response) override {
    response->set_removed_count(7);
    return grpc::Status::OK;
  }
  grpc::Status GetNodeInfo(grpc::ServerContext*, const v1::GetNodeInfoRequest*,
                           v1::GetNodeInfoResponse* response) override {
    response->set_version("v");
    return grpc::Status::OK;
  }
  grpc::Status GetStats(grpc::ServerContext*, const v1::GetStatsRequest*,
                        v1::GetStatsResponse* response) override {
    (*response->mutable_values())["blocks"] = 2;
    return grpc::Status::OK;
  }
  // Never answers in time.
  grpc::Status Drain(grpc::ServerContext*, const v1::DrainRequest*,
                     v1::DrainResponse*) override {
    hang.WaitForNotification();
    return grpc::Status::OK;
  }

  absl::Notification hang;
};

class NodeClientAdmin : public ::testing::Test {
 protected:
  NodeClientAdmin() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
  }
  ~NodeClientAdmin() override {
    if (!service_.hang.HasBeenNotified()) service_.hang.Notify();
    server_->Shutdown();
  }

  std::unique_ptr<AdminClient> Connect(milliseconds timeout = milliseconds(20'000)) {
    auto client = ConnectAdmin(
        {.address = "127.0.0.1:" + std::to_string(port_), .timeout = timeout});
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  FakeAdminService service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(NodeClientAdmin, EachMethodIsItsOwnCall) {
  const auto client = Connect();
  EXPECT_EQ(client->Ping({})->node_name(), "n0");
  v1::ExistsRequest exists;
  exists.add_keys()->set_key("k");
  EXPECT_EQ(client->Exists(exists)->residencies(0), v1::RESIDENCY_BOTH);
  EXPECT_EQ(client->Unpin({})->unpinned_count(), 3u);
  EXPECT_EQ(client->ListPins({})->pins(0).owner(), "o");
  EXPECT_EQ(client->Remove({})->outcomes(0), v1::KEY_OUTCOME_MISS);
  EXPECT_EQ(client->Clear({})->removed_count(), 7u);
  EXPECT_EQ(client->GetNodeInfo({})->version(), "v");
  EXPECT_EQ(client->GetStats({})->values().at("blocks"), 2);
}

TEST_F(NodeClientAdmin, ThePageOfTheLongestKeysFits) {
  const auto page = Connect()->List({});
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->keys_size(), static_cast<int>(kMaxListPageSize));
  EXPECT_GT(page->ByteSizeLong(), 5'000'000u);
}

TEST_F(NodeClientAdmin, ErrorsKeepCodeMessageReasonAndRetry) {
  const auto client = Connect();
  const absl::Status stat = client->Stat({}).status();
  EXPECT_TRUE(absl::IsNotFound(stat));
  EXPECT_EQ(stat.message(), "stat: k is not stored");
  const absl::Status pin = client->Pin({}).status();
  EXPECT_TRUE(absl::IsUnavailable(pin));
  EXPECT_EQ(ReasonOf(pin), kReasonDraining);
  EXPECT_EQ(RetryAfterOf(pin), milliseconds(1500));
}

TEST_F(NodeClientAdmin, ANodeThatDoesNotAnswerEndsTheCallAtItsDeadline) {
  EXPECT_TRUE(absl::IsDeadlineExceeded(Connect(milliseconds(50))->Drain({}).status()));
}

TEST_F(NodeClientAdmin, ANodeThatIsNotThereIsUnavailable) {
  const auto client = Connect();
  service_.hang.Notify();
  server_->Shutdown();
  EXPECT_TRUE(absl::IsUnavailable(client->Ping({}).status()));
}

TEST(NodeClientAdminAddress, OnlyHostAndPortIsAnAddress) {
  for (const char* address : {"", "host", "host:", ":7450", "host:0", "host:65536",
                              "host:port", "host:74 50", "host:-1"}) {
    const auto client = ConnectAdmin({.address = address});
    EXPECT_TRUE(absl::IsInvalidArgument(client.status())) << address;
  }
  for (const char* address : {"host:1", "127.0.0.1:65535", "[::1]:7450"}) {
    EXPECT_TRUE(ConnectAdmin({.address = address}).ok()) << address;
  }
}

}  // namespace
}  // namespace kvasir
