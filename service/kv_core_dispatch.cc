#include <string_view>

#include "fmt/core.h"
#include "proto/codec.h"
#include "service/kv_core_impl.h"

// One request of a lane, and the same calls one by one: both end in Impl's methods.
namespace kvasir {
namespace {

// The response's submessage, emptied but with its memory kept from the exchange before.
template <typename Message>
Message* Emptied(Message* message) {
  message->Clear();
  return message;
}

// Only a lane puts answers off; whoever asked that here would take the answer of now for
// that of later.
absl::Status CheckNoWait(std::string_view verb, uint32_t wait_ms) {
  if (wait_ms == 0) return absl::OkStatus();
  return BadRequest(
      fmt::format("{}: wait_ms is {}, and only requests on a lane wait", verb, wait_ms));
}

}  // namespace

absl::Status KvCore::Impl::Dispatch(SessionId session, LaneId lane,
                                    const v1::LaneRequest& request,
                                    v1::LaneResponse* response, AfterReply* after_reply) {
  const absl::StatusOr<Call> call = Enter(session, lane);
  if (!call.ok()) return call.status();
  const bool alone = request.request_case() == v1::LaneRequest::REQUEST_NOT_SET;
  if (alone && request.releases().empty()) return BadRequest("lane: the request is empty");
  absl::Status status =
      Release(*call, {request.releases().data(), size_t(request.releases_size())});
  if (!status.ok()) return status;
  switch (request.request_case()) {
    case v1::LaneRequest::kLookup:
      return Lookup(*call, request.lookup(), Emptied(response->mutable_lookup()));
    case v1::LaneRequest::kGrantReads:
      return GrantReads(*call, request.grant_reads(),
                        Emptied(response->mutable_grant_reads()), after_reply);
    case v1::LaneRequest::kGrantWrites:
      return GrantWrites(*call, request.grant_writes(),
                         Emptied(response->mutable_grant_writes()));
    case v1::LaneRequest::kCommit:
      return Commit(*call, request.commit(), Emptied(response->mutable_commit()));
    case v1::LaneRequest::kAbort:
      response->mutable_abort();
      return Abort(*call, request.abort());
    case v1::LaneRequest::kRelease:
      response->mutable_release();
      return Release(*call, {request.release().leases().data(),
                             size_t(request.release().leases_size())});
    case v1::LaneRequest::kRemove:
      return Remove(*call, request.remove(), Emptied(response->mutable_remove()));
    case v1::LaneRequest::kUnpinOwner:
      return UnpinOwner(*call, request.unpin_owner(),
                        Emptied(response->mutable_unpin_owner()));
    case v1::LaneRequest::kOpen:
      return BadRequest("lane: it is open already");
    case v1::LaneRequest::REQUEST_NOT_SET:
      response->mutable_release();
      return absl::OkStatus();
  }
  return BadRequest("lane: unknown request");
}

void KvCore::Handle(SessionId session, LaneId lane, const v1::LaneRequest& request,
                    v1::LaneResponse* response, absl::AnyInvocable<void() &&>* after_reply) {
  const absl::Status status =
      impl_->Count(impl_->Dispatch(session, lane, request, response, after_reply));
  if (!status.ok()) ToLaneError(status, response->mutable_error());
}

absl::Status KvCore::Lookup(SessionId session, const v1::LookupRequest& request,
                            v1::LookupResponse* response) {
  const auto call = impl_->Enter(session);
  if (!call.ok()) return impl_->Count(call.status());
  return impl_->Count(impl_->Lookup(*call, request, Emptied(response)));
}

absl::Status KvCore::GrantReads(SessionId session, LaneId lane,
                                const v1::GrantReadsRequest& request,
                                v1::GrantReadsResponse* response,
                                absl::AnyInvocable<void() &&>* after_reply) {
  if (absl::Status status = CheckNoWait("grant reads", request.wait_ms()); !status.ok()) {
    return impl_->Count(status);
  }
  const auto call = impl_->Enter(session, lane);
  if (!call.ok()) return impl_->Count(call.status());
  return impl_->Count(impl_->GrantReads(*call, request, Emptied(response), after_reply));
}

absl::Status KvCore::GrantWrites(SessionId session, LaneId lane,
                                 const v1::GrantWritesRequest& request,
                                 v1::GrantWritesResponse* response) {
  const auto call = impl_->Enter(session, lane);
  if (!call.ok()) return impl_->Count(call.status());
  return impl_->Count(impl_->GrantWrites(*call, request, Emptied(response)));
}

absl::Status KvCore::Commit(SessionId session, LaneId lane, const v1::CommitRequest& request,
                            v1::CommitResponse* response) {
  if (absl::Status status = CheckNoWait("commit", request.wait_ms()); !status.ok()) {
    return impl_->Count(status);
  }
  const auto call = impl_->Enter(session, lane);
  if (!call.ok()) return impl_->Count(call.status());
  return impl_->Count(impl_->Commit(*call, request, Emptied(response)));
}

absl::Status KvCore::Abort(SessionId session, LaneId lane, const v1::AbortRequest& request,
                           v1::AbortResponse* response) {
  response->Clear();
  const auto call = impl_->Enter(session, lane);
  if (!call.ok()) return impl_->Count(call.status());
  return impl_->Count(impl_->Abort(*call, request));
}

absl::Status KvCore::Release(SessionId session, const v1::ReleaseRequest& request,
                             v1::ReleaseResponse* response) {
  response->Clear();
  const auto call = impl_->Enter(session);
  if (!call.ok()) return impl_->Count(call.status());
  return impl_->Count(
      impl_->Release(*call, {request.leases().data(), size_t(request.leases_size())}));
}

absl::Status KvCore::Remove(SessionId session, const v1::RemoveRequest& request,
                            v1::RemoveResponse* response) {
  if (absl::Status status = CheckNoWait("remove", request.wait_ms()); !status.ok()) {
    return impl_->Count(status);
  }
  const auto call = impl_->Enter(session);
  if (!call.ok()) return impl_->Count(call.status());
  return impl_->Count(impl_->Remove(*call, request, Emptied(response)));
}

absl::Status KvCore::UnpinOwner(SessionId session, const v1::UnpinOwnerRequest& request,
                                v1::UnpinOwnerResponse* response) {
  const auto call = impl_->Enter(session);
  if (!call.ok()) return impl_->Count(call.status());
  return impl_->Count(impl_->UnpinOwner(*call, request, Emptied(response)));
}

}  // namespace kvasir
