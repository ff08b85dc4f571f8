#include "client/node_client_channel.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <utility>

#include "base/limits.h"
#include "client/node_client_deadline.h"
#include "client/node_client_stream.h"
#include "kvasir/v1/admin.grpc.pb.h"
#include "kvasir/v1/kv.grpc.pb.h"
#include "proto/codec.h"
#include "proto/grpc_status.h"

namespace kvasir {
namespace {

// Between attempts that gRPC makes by itself.
constexpr int kReconnectMinMs = 100;
constexpr int kReconnectMaxMs = 1'000;
constexpr std::chrono::milliseconds kReconnectPatience{250};

std::shared_ptr<grpc::Channel> MakeChannel(const NodeChannelOptions& options) {
  grpc::ChannelArguments arguments;
  // Channels do not share connections: `connections` of them are to be had.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMinMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMaxMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMaxMs);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(kMaxMessageBytes));
  // Retries are the client's rules, and the node is the one that was named.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // Its pings measure a bandwidth that short messages do not need.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  return grpc::CreateCustomChannel(options.address, grpc::InsecureChannelCredentials(),
                                   arguments);
}

class GrpcControlStream final : public ControlStream {
 public:
  GrpcControlStream(v1::KvService::Stub* stub, const Clock* clock)
      : stream_([stub](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
          return stub->PrepareAsyncLane(context, queue);
        }, clock) {}

  absl::Status Exchange(const v1::LaneRequest& request, v1::LaneResponse* response,
                        Instant deadline) override {
    absl::Status status = stream_.Exchange(request, response, deadline);
    if (!status.ok() || !response->has_error()) return status;
    return FromLaneError(response->error());
  }

 private:
  ExchangeStream<v1::LaneRequest, v1::LaneResponse> stream_;
};

class GrpcHeartbeatStream final : public HeartbeatStream {
 public:
  GrpcHeartbeatStream(v1::KvService::Stub* stub, SessionId session, const Clock* clock)
      : stream_([stub](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
          return stub->PrepareAsyncHeartbeat(context, queue);
        }, clock) {
    request_.set_session(session.ToBytes());
  }

  absl::StatusOr<bool> Beat(Instant deadline) override {
    absl::Status status = stream_.Exchange(request_, &response_, deadline);
    if (!status.ok()) return status;
    return response_.draining();
  }

 private:
  ExchangeStream<v1::HeartbeatRequest, v1::HeartbeatResponse> stream_;
  v1::HeartbeatRequest request_;
  v1::HeartbeatResponse response_;
};

class GrpcNodeChannel final : public NodeChannel {
 public:
  GrpcNodeChannel(const NodeChannelOptions& options, const Clock* clock) : clock_(clock) {
    for (size_t i = 0; i < std::max<size_t>(options.connections, 1); ++i) {
      channels_.push_back(MakeChannel(options));
      kv_stubs_.push_back(v1::KvService::NewStub(channels_.back()));
    }
    admin_ = v1::AdminService::NewStub(channels_.front());
  }

  absl::StatusOr<v1::OpenSessionResponse> OpenSession(const v1::OpenSessionRequest& request,
                                                      Instant deadline) override {
    if (absl::Status status = AwaitConnection(deadline); !status.ok()) return status;
    v1::OpenSessionResponse response;
    absl::Status status = Call(kv_stubs_.front().get(), &v1::KvService::Stub::OpenSession,
                               request, &response, deadline);
    if (!status.ok()) return status;
    return response;
  }

  std::unique_ptr<HeartbeatStream> OpenHeartbeat(SessionId session) override {
    return std::make_unique<GrpcHeartbeatStream>(kv_stubs_.front().get(), session, clock_);
  }

  std::unique_ptr<ControlStream> OpenStream() override {
    // Relaxed: any even spread will do.
    const size_t next = next_stub_.fetch_add(1, std::memory_order_relaxed);
    return std::make_unique<GrpcControlStream>(kv_stubs_[next % kv_stubs_.size()].get(),
                                               clock_);
  }

  absl::Status CloseSession(SessionId session, Instant deadline) override {
    v1::CloseSessionRequest request;
    request.set_session(session.ToBytes());
    v1::CloseSessionResponse response;
    return Call(kv_stubs_.front().get(), &v1::KvService::Stub::CloseSession, request,
                &response, deadline);
  }

  absl::Status Ping(Instant deadline) override {
    v1::PingResponse response;
    return Call(admin_.get(), &v1::AdminService::Stub::Ping, v1::PingRequest(), &response,
                deadline);
  }

  absl::StatusOr<ListPage> List(std::string_view prefix, size_t page_size,
                                std::string_view page_token, Instant deadline) override {
    v1::ListRequest request;
    request.set_prefix(prefix.data(), prefix.size());
    request.set_page_size(static_cast<uint32_t>(page_size));
    request.set_page_token(page_token.data(), page_token.size());
    v1::ListResponse response;
    absl::Status status =
        Call(admin_.get(), &v1::AdminService::Stub::List, request, &response, deadline);
    if (!status.ok()) return status;
    ListPage page;
    for (v1::KeyInfo& info : *response.mutable_keys()) {
      page.keys.push_back(std::move(*info.mutable_key()));
    }
    page.next_page_token = response.next_page_token();
    return page;
  }

  absl::StatusOr<std::map<std::string, double>> Stats(Instant deadline) override {
    v1::GetStatsResponse response;
    absl::Status status = Call(admin_.get(), &v1::AdminService::Stub::GetStats,
                               v1::GetStatsRequest(), &response, deadline);
    if (!status.ok()) return status;
    return std::map<std::string, double>(response.values().begin(), response.values().end());
  }

 private:
  // Connects now: gRPC would answer from its last failure until its own pause is over,
  // and so miss a server that has just come back. Unavailable as soon as an attempt
  // fails.
  absl::Status AwaitConnection(Instant deadline) {
    grpc::Channel& channel = *channels_.front();
    grpc_connectivity_state state = channel.GetState(/*try_to_connect=*/true);
    Instant give_up = deadline;
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE) {
      grpc::experimental::ChannelResetConnectionBackoff(&channel);
      // A second failure may not show as a change of state.
      give_up = std::min(deadline, clock_->Now() + kReconnectPatience);
    }
    while (state != GRPC_CHANNEL_READY) {
      if (!channel.WaitForStateChange(state, ToGrpcDeadline(*clock_, give_up))) {
        return absl::UnavailableError("connect to node: no answer");
      }
      state = channel.GetState(/*try_to_connect=*/true);
      if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) {
        return absl::UnavailableError("connect to node: connection refused or lost");
      }
    }
    return absl::OkStatus();
  }

  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub* stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                 Response*),
                    const Request& request, Response* response, Instant deadline) {
    // gRPC would let a call that is quick enough through.
    if (clock_->Now() >= deadline) {
      return absl::DeadlineExceededError("call node: no time left");
    }
    grpc::ClientContext context;
    context.set_deadline(ToGrpcDeadline(*clock_, deadline));
    return FromGrpcStatus((stub->*method)(&context, request, response));
  }

  const Clock* const clock_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::unique_ptr<v1::KvService::Stub>> kv_stubs_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
  std::atomic<size_t> next_stub_{0};
};

}  // namespace

std::unique_ptr<NodeChannel> MakeNodeChannel(const NodeChannelOptions& options,
                                             const Clock* clock) {
  return std::make_unique<GrpcNodeChannel>(options, clock);
}

}  // namespace kvasir
