#include "tests/simulation/token_put.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "base/checksum.h"
#include "base/limits.h"
#include "base/rules.h"

namespace kvasir::sim {
namespace {

v1::TransportKind WireKind(TransportKind kind) {
  return kind == TransportKind::kTcp ? v1::TRANSPORT_KIND_TCP : v1::TRANSPORT_KIND_RDMA;
}

}  // namespace

absl::Status TokenPut::Run(OpenStream open_stream, Instant first, Instant deadline) {
  {
    absl::StatusOr<OpenedLane> on = Open(open_stream, first);
    if (!on.ok()) return on.status();
    absl::Status status = Grant(&*on, deadline);
    if (!status.ok()) return status;
    status = Write(&*on, first);
    if (status.ok()) return Commit(&*on, deadline);
    if (client_.clock->Now() >= deadline) return status;
  }
  absl::StatusOr<OpenedLane> on = Open(open_stream, deadline);
  if (!on.ok()) return on.status();
  absl::Status status = rules::kS2 ? Grant(&*on, deadline) : absl::OkStatus();
  if (status.ok()) status = Write(&*on, deadline);
  return status.ok() ? Commit(&*on, deadline) : status;
}

absl::StatusOr<TokenPut::OpenedLane> TokenPut::Open(OpenStream open_stream,
                                                    Instant deadline) {
  OpenedLane opened{.stream = open_stream(), .lane = nullptr};
  const auto exchange = [&](std::string_view hello) -> absl::StatusOr<std::string> {
    v1::LaneRequest request;
    v1::LaneResponse response;
    request.mutable_open()->set_session(client_.session.ToBytes());
    request.mutable_open()->set_transport(WireKind(client_.transport->kind()));
    request.mutable_open()->set_hello(std::string(hello));
    absl::Status status = opened.stream->Exchange(request, &response, deadline);
    if (!status.ok()) return status;
    return response.open().offer();
  };
  absl::StatusOr<std::unique_ptr<Lane>> lane =
      client_.transport->Connect(exchange, deadline);
  if (!lane.ok()) return lane.status();
  opened.lane = *std::move(lane);
  return opened;
}

absl::Status TokenPut::Grant(OpenedLane* on, Instant deadline) {
  v1::LaneRequest request;
  v1::LaneResponse response;
  request.mutable_grant_writes()->set_op_id(block_.op_id);
  request.mutable_grant_writes()->set_replace(true);
  v1::WriteIntent* const intent = request.mutable_grant_writes()->add_writes();
  intent->set_key(block_.key);
  intent->set_size_bytes(block_.bytes.size());
  const Instant sent = client_.clock->Now();
  absl::Status status = on->stream->Exchange(request, &response, deadline);
  if (!status.ok()) return status;
  const v1::WriteGrant& grant = response.grant_writes().grants(0);
  if (grant.outcome() != v1::KEY_OUTCOME_OK || grant.lease() == 0) {
    return absl::AbortedError("put: not granted");
  }
  token_ = {
      .lease = LeaseId{grant.lease()},
      .extent = {RegionId{grant.region()}, grant.offset_bytes(), block_.bytes.size()},
      .access = Access::kWrite,
      .sealed = grant.token()};
  const std::chrono::nanoseconds ttl =
      std::chrono::milliseconds(response.grant_writes().ttl_ms());
  lease_deadline_ = sent + ttl - ttl * kLeaseDriftPerMille / 1000 - kLeaseMargin;
  return absl::OkStatus();
}

absl::Status TokenPut::Write(OpenedLane* on, Instant deadline) {
  const std::array<std::span<std::byte>, 1> slices{
      std::as_writable_bytes(std::span(block_.bytes.data(), block_.bytes.size()))};
  std::array<Transfer, 1> batch;
  batch[0].token = token_;
  batch[0].local = slices;
  batch[0].checksum_seed = ChecksumSeed(block_.key);
  on->lane->Run(batch, std::min(deadline, lease_deadline_));
  checksum_ = batch[0].checksum;
  return batch[0].status;
}

absl::Status TokenPut::Commit(OpenedLane* on, Instant deadline) {
  v1::LaneRequest request;
  v1::LaneResponse response;
  request.mutable_commit()->set_op_id(block_.op_id);
  v1::CommitItem* const item = request.mutable_commit()->add_items();
  item->set_lease(static_cast<uint64_t>(token_.lease));
  item->set_checksum(checksum_);
  absl::Status status = on->stream->Exchange(request, &response, deadline);
  if (!status.ok()) return status;
  return response.commit().outcomes(0) == v1::KEY_OUTCOME_OK
             ? absl::OkStatus()
             : absl::AbortedError("put: not committed");
}

}  // namespace kvasir::sim
