// What people and tools see of a real server: reflection, health, channelz, HTTP.

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include "grpc/channelz/v1/channelz.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "tests/integration/raw_session.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

namespace channelz = grpc::channelz::v1;
namespace health = grpc::health::v1;
namespace reflection = grpc::reflection::v1alpha;
using testing::HasSubstr;

class InspectionTest : public testing::Test {
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

  // One question to the reflection service, as grpcurl asks it.
  reflection::ServerReflectionResponse Reflect(
      const reflection::ServerReflectionRequest& request) {
    const RawStubs stubs(server_->listen());
    const auto stub = reflection::ServerReflection::NewStub(stubs.channel);
    const auto context = NewContext();
    const auto stream = stub->ServerReflectionInfo(context.get());
    stream->Write(request);
    reflection::ServerReflectionResponse response;
    EXPECT_TRUE(stream->Read(&response));
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
    return response;
  }
  health::HealthCheckResponse::ServingStatus HealthOf(const std::string& service) {
    const RawStubs stubs(server_->listen());
    health::HealthCheckRequest request;
    request.set_service(service);
    health::HealthCheckResponse response;
    health::Health::NewStub(stubs.channel)->Check(NewContext().get(), request, &response);
    return response.status();
  }

  static ServerProcess* server_;
};
ServerProcess* InspectionTest::server_ = nullptr;

TEST_F(InspectionTest, ReflectionListsEveryService) {
  reflection::ServerReflectionRequest request;
  request.set_list_services("");
  std::vector<std::string> names;
  const auto response = Reflect(request);
  for (const auto& service : response.list_services_response().service()) {
    names.push_back(service.name());
  }
  EXPECT_THAT(names,
              testing::IsSupersetOf({"kvasir.v1.KvService", "kvasir.v1.AdminService",
                                     "kvasir.v1.ClusterService", "grpc.health.v1.Health",
                                     "grpc.channelz.v1.Channelz",
                                     "grpc.reflection.v1alpha.ServerReflection"}));
}

// Tools ask this before each call: what is listed and not described cannot be called.
TEST_F(InspectionTest, ReflectionDescribesEveryServiceThatItLists) {
  reflection::ServerReflectionRequest request;
  request.set_list_services("");
  const auto listed = Reflect(request);
  ASSERT_GE(listed.list_services_response().service_size(), 6);
  for (const auto& service : listed.list_services_response().service()) {
    request.set_file_containing_symbol(service.name());
    EXPECT_GT(Reflect(request).file_descriptor_response().file_descriptor_proto_size(), 0)
        << service.name();
  }
}

TEST_F(InspectionTest, ReflectionDescribesAServiceDownToItsMessages) {
  reflection::ServerReflectionRequest request;
  request.set_file_containing_symbol("kvasir.v1.AdminService");
  const auto response = Reflect(request);
  std::vector<std::string> messages;
  for (const std::string& bytes :
       response.file_descriptor_response().file_descriptor_proto()) {
    google::protobuf::FileDescriptorProto file;
    ASSERT_TRUE(file.ParseFromString(bytes));
    for (const auto& message : file.message_type()) messages.push_back(message.name());
  }
  EXPECT_THAT(messages, testing::IsSupersetOf({"StatRequest", "KeyName", "KeyInfo"}));
}

TEST_F(InspectionTest, ReflectionSaysWhatItDoesNotKnow) {
  reflection::ServerReflectionRequest request;
  request.set_file_containing_symbol("kvasir.v1.NoSuchService");
  EXPECT_EQ(Reflect(request).error_response().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(InspectionTest, HealthServesAsAWholeAndByService) {
  for (const std::string name : {"", "kvasir.v1.KvService", "kvasir.v1.AdminService",
                                 "kvasir.v1.ClusterService"}) {
    EXPECT_EQ(HealthOf(name), health::HealthCheckResponse::SERVING) << name;
  }
  EXPECT_EQ(HealthOf("kvasir.v1.NoSuchService"), health::HealthCheckResponse::UNKNOWN);
}

TEST_F(InspectionTest, ChannelzKnowsTheServerAndCountsItsCalls) {
  const RawStubs stubs(server_->listen());
  v1::PingResponse ping;
  ASSERT_TRUE(stubs.admin->Ping(NewContext().get(), {}, &ping).ok());
  channelz::GetServersResponse servers;
  const grpc::Status status = channelz::Channelz::NewStub(stubs.channel)
                                  ->GetServers(NewContext().get(), {}, &servers);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(servers.server_size(), 1);
  EXPECT_GE(servers.server(0).data().calls_started(), 1);
}

TEST_F(InspectionTest, MetricsArePrometheusTextWithUnitsInNames) {
  const HttpAnswer answer = HttpGet(server_->http_listen(), "/metrics");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.content_type, HasSubstr("version=0.0.4"));
  for (const std::string line :
       {"kvasir_memory_capacity_bytes 67108864", "kvasir_draining 0",
        "# TYPE kvasir_commits_total counter", "# TYPE kvasir_request_seconds histogram",
        "kvasir_transport_bytes_total{direction=\"get\",transport=\"tcp\"} 0",
        "kvasir_transport_lanes{transport=\"shm\"} 0"}) {
    EXPECT_THAT(answer.body, HasSubstr("\n" + line));
  }
}

TEST_F(InspectionTest, RequestsShowInMetricsByMethodAndCode) {
  RawSession session(server_->listen());
  v1::LookupResponse response;
  ASSERT_TRUE(
      session.Call(&v1::KvService::Stub::Lookup, v1::LookupRequest(), &response).ok());
  const std::string text = HttpGet(server_->http_listen(), "/metrics").body;
  EXPECT_THAT(text, HasSubstr("kvasir_requests_total{code=\"OK\",method=\"Lookup\"} 1"));
  EXPECT_THAT(text, HasSubstr("kvasir_request_seconds_count{method=\"Lookup\"} 1"));
}

TEST_F(InspectionTest, HealthzAndReadyzAreOk) {
  EXPECT_EQ(HttpGet(server_->http_listen(), "/healthz").status, 200);
  const HttpAnswer ready = HttpGet(server_->http_listen(), "/readyz");
  EXPECT_EQ(ready.status, 200);
  EXPECT_EQ(ready.body, "ok\n");
}

TEST_F(InspectionTest, EverythingElseIsNotFoundAndSaysWhatIsThere) {
  for (const std::string path : {"/", "/metrics/", "/etc/passwd", "/../metrics"}) {
    const HttpAnswer answer = HttpGet(server_->http_listen(), path);
    EXPECT_EQ(answer.status, 404) << path;
    EXPECT_THAT(answer.body, HasSubstr("/metrics, /healthz and /readyz"));
  }
}

TEST_F(InspectionTest, AClusterOfOneAnswersForItself) {
  const RawStubs stubs(server_->listen());
  v1::GetClusterResponse cluster;
  ASSERT_TRUE(stubs.cluster->GetCluster(NewContext().get(), {}, &cluster).ok());
  ASSERT_EQ(cluster.nodes_size(), 1);
  EXPECT_EQ(cluster.nodes(0).name(), "test");
  EXPECT_EQ(cluster.nodes(0).address(), server_->listen());
  EXPECT_EQ(cluster.nodes(0).weight(), 1);
  EXPECT_FALSE(cluster.nodes(0).draining());
  EXPECT_EQ(cluster.version(), 1u);
}

}  // namespace
}  // namespace kvasir
