#include "service/grpc_server.h"

#include <fmt/core.h>
#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include <utility>

#include "base/limits.h"
#include "grpc/health/v1/health.pb.h"
#include "service/bind_error.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

// A host that vanished without a FIN is noticed after both; its session ended for
// silence long before.
constexpr milliseconds kKeepaliveTime{10'000};
constexpr milliseconds kKeepaliveTimeout{5'000};
// Clients may ping as often as this without being cut off for it.
constexpr milliseconds kPingIntervalMin{500};
// Lanes, heartbeats and calls of one connection.
constexpr int kStreamsPerConnectionMax = 1024;

// Both are switches of the whole process, read when a server is built.
void EnableProcessWideServices() {
  static const bool enabled = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::channelz::experimental::InitChannelzService();
    // Keeps it in the program, for reflection: gRPC answers health without it.
    return grpc::health::v1::HealthCheckRequest::descriptor() != nullptr;
  }();
  (void)enabled;
}

void SetArguments(grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(static_cast<int>(kMaxMessageBytes));
  // With SO_REUSEPORT a second server on the port would start without an error and take
  // half of the connections.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                              static_cast<int>(kKeepaliveTime.count()));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                              static_cast<int>(kKeepaliveTimeout.count()));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                              static_cast<int>(kPingIntervalMin.count()));
  builder->AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const Options& options) {
  EnableProcessWideServices();
  grpc::ServerBuilder builder;
  SetArguments(&builder);
  int port = 0;
  builder.AddListeningPort(options.listen.ToString(), grpc::InsecureServerCredentials(),
                           &port);
  if (!options.control_socket.empty()) {
    builder.AddListeningPort(fmt::format("unix:{}", options.control_socket),
                             grpc::InsecureServerCredentials());
  }
  for (grpc::Service* const service : options.services) builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  // They are bound in turn, and the first that fails is the last.
  if (server == nullptr && port != 0 && !options.control_socket.empty()) {
    return absl::UnavailableError(
        fmt::format("control_socket: cannot make {}: is its directory there and writable, "
                    "and nothing but a socket in its place?",
                    options.control_socket));
  }
  if (server == nullptr || port == 0) return BindError("listen", options.listen);

  ListenAddress address = options.listen;
  address.port = static_cast<uint16_t>(port);
  auto made = std::unique_ptr<GrpcServer>(
      new GrpcServer(std::move(address), options.service_names, std::move(server)));
  made->SetServing(false);
  return made;
}

GrpcServer::GrpcServer(ListenAddress address, std::vector<std::string> service_names,
                       std::unique_ptr<grpc::Server> server)
    : address_(std::move(address)),
      service_names_(std::move(service_names)),
      server_(std::move(server)) {}

GrpcServer::~GrpcServer() { Shutdown(milliseconds(0)); }

void GrpcServer::SetServing(bool serving) {
  grpc::HealthCheckServiceInterface* const health = server_->GetHealthCheckService();
  health->SetServingStatus("", serving);
  for (const std::string& name : service_names_) health->SetServingStatus(name, serving);
}

void GrpcServer::Shutdown(milliseconds patience) {
  server_->Shutdown(std::chrono::system_clock::now() + patience);
  server_->Wait();
}

}  // namespace kvasir
