#include "client/node_client_admin.h"

#include <fmt/core.h>
#include <grpcpp/grpcpp.h>

#include <charconv>
#include <string_view>

#include "absl/status/status.h"
#include "base/limits.h"
#include "kvasir/v1/admin.grpc.pb.h"
#include "proto/grpc_status.h"

namespace kvasir {
namespace {

// A page of 1000 keys of 1024 bytes, each also as text at four characters a byte, with
// attributes, is 5.4 MB: more than gRPC takes by default.
constexpr int kMaxReplyBytes = 16 * static_cast<int>(kMiB);

absl::Status CheckAddress(std::string_view address) {
  if (address.starts_with("unix:/")) return absl::OkStatus();
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon != std::string_view::npos && colon > 0) {
    const std::string_view digits = address.substr(colon + 1);
    const char* const end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, port);
    if (error != std::errc() || rest != end) port = 0;
  }
  if (port >= 1 && port <= 65535) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "connect: \"{}\" is not HOST:PORT with a port from 1 to 65535, nor unix:PATH", address));
}

class GrpcAdminClient final : public AdminClient {
 public:
  explicit GrpcAdminClient(const AdminOptions& options)
      : timeout_(options.timeout), stub_(v1::AdminService::NewStub(Channel(options))) {}

  absl::StatusOr<v1::PingResponse> Ping(const v1::PingRequest& request) override {
    return Call(&Stub::Ping, request, v1::PingResponse());
  }
  absl::StatusOr<v1::ExistsResponse> Exists(const v1::ExistsRequest& request) override {
    return Call(&Stub::Exists, request, v1::ExistsResponse());
  }
  absl::StatusOr<v1::ListResponse> List(const v1::ListRequest& request) override {
    return Call(&Stub::List, request, v1::ListResponse());
  }
  absl::StatusOr<v1::StatResponse> Stat(const v1::StatRequest& request) override {
    return Call(&Stub::Stat, request, v1::StatResponse());
  }
  absl::StatusOr<v1::PinResponse> Pin(const v1::PinRequest& request) override {
    return Call(&Stub::Pin, request, v1::PinResponse());
  }
  absl::StatusOr<v1::UnpinResponse> Unpin(const v1::UnpinRequest& request) override {
    return Call(&Stub::Unpin, request, v1::UnpinResponse());
  }
  absl::StatusOr<v1::ListPinsResponse> ListPins(
      const v1::ListPinsRequest& request) override {
    return Call(&Stub::ListPins, request, v1::ListPinsResponse());
  }
  absl::StatusOr<v1::RemoveKeysResponse> Remove(
      const v1::RemoveKeysRequest& request) override {
    return Call(&Stub::RemoveKeys, request, v1::RemoveKeysResponse());
  }
  absl::StatusOr<v1::ClearResponse> Clear(const v1::ClearRequest& request) override {
    return Call(&Stub::Clear, request, v1::ClearResponse());
  }
  absl::StatusOr<v1::GetNodeInfoResponse> GetNodeInfo(
      const v1::GetNodeInfoRequest& request) override {
    return Call(&Stub::GetNodeInfo, request, v1::GetNodeInfoResponse());
  }
  absl::StatusOr<v1::GetStatsResponse> GetStats(
      const v1::GetStatsRequest& request) override {
    return Call(&Stub::GetStats, request, v1::GetStatsResponse());
  }
  absl::StatusOr<v1::DrainResponse> Drain(const v1::DrainRequest& request) override {
    return Call(&Stub::Drain, request, v1::DrainResponse());
  }

 private:
  using Stub = v1::AdminService::Stub;

  static std::shared_ptr<grpc::Channel> Channel(const AdminOptions& options) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxReplyBytes);
    // A cache node is never behind an HTTP proxy, whatever http_proxy says.
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    return grpc::CreateCustomChannel(options.address, grpc::InsecureChannelCredentials(),
                                     arguments);
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                             const Request&, Response*),
                                const Request& request, Response response) {
    grpc::ClientContext context;
    // gRPC's deadlines are in its own clock; a span of time from now is in both.
    context.set_deadline(
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                     gpr_time_from_millis(timeout_.count(), GPR_TIMESPAN)));
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return FromGrpcStatus(status);
    return response;
  }

  const std::chrono::milliseconds timeout_;
  const std::unique_ptr<Stub> stub_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AdminClient>> ConnectAdmin(const AdminOptions& options) {
  if (absl::Status status = CheckAddress(options.address); !status.ok()) return status;
  return std::make_unique<GrpcAdminClient>(options);
}

}  // namespace kvasir
