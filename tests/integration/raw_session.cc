#include "tests/integration/raw_session.h"

#include <httplib.h>

#include <span>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/status_reason.h"
#include "proto/codec.h"
#include "proto/grpc_status.h"
#include "rdma/tcp_client.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience{30'000};

// A channel shares its connection with others of the same arguments unless told.
std::shared_ptr<grpc::Channel> NewChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace

RawStubs::RawStubs(const std::string& address)
    : channel(NewChannel(address)),
      kv(v1::KvService::NewStub(channel)),
      admin(v1::AdminService::NewStub(channel)),
      cluster(v1::ClusterService::NewStub(channel)) {}

std::unique_ptr<grpc::ClientContext> NewContext(milliseconds timeout) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + timeout);
  context->set_wait_for_ready(true);
  return context;
}

RawSession::RawSession(const std::string& address) : stubs_(address) {
  v1::OpenSessionRequest request;
  request.set_client_name("raw");
  const grpc::Status opened =
      stubs_.kv->OpenSession(NewContext().get(), request, &opened_);
  KV_CHECK(opened.ok());
}

RawLane::RawLane(RawSession* session, ClientTransport* transport)
    : session_(session),
      context_(NewContext(milliseconds(300'000))),
      stream_(session->stubs().kv->Lane(context_.get())),
      transport_(transport) {}

RawLane::RawLane(RawSession* session, std::unique_ptr<ClientTransport> own)
    : RawLane(session, own.get()) {
  own_ = std::move(own);
}

RawLane::RawLane(RawSession* session)
    : RawLane(session, std::make_unique<TcpClient>(TcpClient::Options{}, Clock::Real())) {}

RawLane::~RawLane() {
  lane_.reset();
  context_->TryCancel();
}

absl::Status RawLane::Open() {
  auto lane = transport_->Connect([this](std::string_view hello) { return Offer(hello); },
                                  Clock::Real()->Now() + kPatience);
  if (!lane.ok()) return lane.status();
  lane_ = *std::move(lane);
  return absl::OkStatus();
}

absl::StatusOr<std::string> RawLane::Offer(std::string_view hello) {
  v1::LaneRequest request;
  request.mutable_open()->set_session(session_->id());
  request.mutable_open()->set_transport(transport_->kind() == TransportKind::kRdma
                                            ? v1::TRANSPORT_KIND_RDMA
                                            : v1::TRANSPORT_KIND_TCP);
  request.mutable_open()->set_hello(std::string(hello));
  const v1::LaneResponse response = Exchange(request);
  if (response.has_error()) return FromLaneError(response.error());
  return response.open().offer();
}

v1::LaneResponse RawLane::Exchange(const v1::LaneRequest& request) {
  v1::LaneResponse response;
  if (!stream_->Write(request) || !stream_->Read(&response)) {
    ToLaneError(absl::UnavailableError("the stream has ended"), response.mutable_error());
  }
  return response;
}

grpc::Status RawLane::Finish() {
  stream_->WritesDone();
  return stream_->Finish();
}

absl::StatusOr<v1::WriteGrant> RawLane::Grant(std::string_view key, uint64_t size_bytes,
                                              uint32_t ttl_ms) {
  v1::LaneRequest request;
  request.mutable_grant_writes()->set_ttl_ms(ttl_ms);
  v1::WriteIntent* const write = request.mutable_grant_writes()->add_writes();
  write->set_key(std::string(key));
  write->set_size_bytes(size_bytes);
  const v1::LaneResponse response = Exchange(request);
  if (response.has_error()) return FromLaneError(response.error());
  return response.grant_writes().grants(0);
}

absl::Status RawLane::Move(const Token& token, std::span<std::byte> local) {
  const auto registered = transport_->Register(local);
  if (!registered.ok()) return registered.status();
  Transfer transfer{.token = token, .local = std::span(&local, 1)};
  lane_->Run({&transfer, 1}, Clock::Real()->Now() + kPatience);
  return transfer.status;
}

absl::Status RawLane::Fill(const v1::WriteGrant& grant, std::string_view value) {
  std::string bytes(value);
  return Move({.lease = LeaseId{grant.lease()},
               .extent = {RegionId{grant.region()}, grant.offset_bytes(), value.size()},
               .access = Access::kWrite,
               .sealed = grant.token()},
              std::as_writable_bytes(std::span(bytes)));
}

v1::KeyOutcome RawLane::Commit(const v1::WriteGrant& grant, std::string_view key,
                               std::string_view value) {
  v1::LaneRequest request;
  v1::CommitItem* const item = request.mutable_commit()->add_items();
  item->set_lease(grant.lease());
  item->set_checksum(BlockChecksum(ChecksumSeed(key), AsBytes(value)));
  const v1::LaneResponse response = Exchange(request);
  if (response.commit().outcomes_size() != 1) return v1::KEY_OUTCOME_UNSPECIFIED;
  return response.commit().outcomes(0);
}

absl::Status RawLane::Put(std::string_view key, std::string_view value) {
  const absl::StatusOr<v1::WriteGrant> grant = Grant(key, value.size());
  if (!grant.ok()) return grant.status();
  if (grant->outcome() != v1::KEY_OUTCOME_OK) {
    return absl::InternalError("grant: " + v1::KeyOutcome_Name(grant->outcome()));
  }
  if (absl::Status filled = Fill(*grant, value); !filled.ok()) return filled;
  const v1::KeyOutcome committed = Commit(*grant, key, value);
  if (committed == v1::KEY_OUTCOME_OK) return absl::OkStatus();
  return absl::InternalError("commit: " + v1::KeyOutcome_Name(committed));
}

absl::StatusOr<std::string> RawLane::Get(std::string_view key) {
  v1::LaneRequest request;
  request.mutable_grant_reads()->add_keys(std::string(key));
  const v1::LaneResponse response = Exchange(request);
  if (response.has_error()) return FromLaneError(response.error());
  const v1::ReadGrant& grant = response.grant_reads().grants(0);
  if (grant.outcome() != v1::KEY_OUTCOME_OK) return absl::NotFoundError("a miss");
  std::string value(grant.size_bytes(), '\0');
  const absl::Status moved =
      Move({.lease = LeaseId{grant.lease()},
            .extent = {RegionId{grant.region()}, grant.offset_bytes(), value.size()},
            .access = Access::kRead,
            .sealed = grant.token()},
           std::as_writable_bytes(std::span(value)));
  if (!moved.ok()) return moved;
  return value;
}

std::string ReasonIn(const grpc::Status& status) {
  return ReasonOf(FromGrpcStatus(status));
}

HttpAnswer HttpGet(const std::string& address, const std::string& path) {
  httplib::Client client("http://" + address);
  const httplib::Result result = client.Get(path);
  if (!result) return {};
  return {result->status, result->body, result->get_header_value("Content-Type")};
}

}  // namespace kvasir
