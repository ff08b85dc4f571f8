#include <algorithm>
#include <utility>

#include "service/kv_core_impl.h"

// What a request with wait_ms waits for. It is put off before it is handled, so handling
// never waits. One thing is waited for at a time, the first that is not settled: things
// that are under way together end about together, and a wait for each would pile up on
// those that take long.
namespace kvasir {

bool KvCore::Impl::WhenSettled(SessionId session, const v1::LaneRequest& request,
                               WaitTable::Answer answer) {
  const uint32_t wait_ms = WaitOf(request);
  if (wait_ms == 0) return false;
  const absl::StatusOr<Call> call = Enter(session);
  if (!call.ok()) return false;
  const auto wait = std::min(std::chrono::milliseconds(wait_ms), kMaxSettleWait);
  const uint64_t id = waits_.Add(clock_->Now() + wait, std::move(answer));
  if (id == 0) return false;
  bool waits = false;
  switch (request.request_case()) {
    case v1::LaneRequest::kGrantReads:
      waits = AwaitPromotion(request.grant_reads(), id);
      break;
    case v1::LaneRequest::kCommit:
      waits = AwaitCommit(*call, request.commit(), id);
      break;
    case v1::LaneRequest::kRemove:
      waits = AwaitRemoval(request.remove(), id);
      break;
    default:
      break;
  }
  // What settled in between has the answer out already.
  return waits || !waits_.Cancel(id);
}

uint32_t KvCore::Impl::WaitOf(const v1::LaneRequest& request) {
  switch (request.request_case()) {
    case v1::LaneRequest::kGrantReads:
      return request.grant_reads().wait_ms();
    case v1::LaneRequest::kCommit:
      return request.commit().wait_ms();
    case v1::LaneRequest::kRemove:
      return request.remove().wait_ms();
    default:
      return 0;
  }
}

bool KvCore::Impl::AwaitPromotion(const v1::GrantReadsRequest& request, uint64_t id) {
  for (const std::string& key : request.keys()) {
    if (!store_->IsPromoting(key)) return false;  // An answer is ready.
  }
  return !request.keys().empty() &&
         store_->AwaitPromotion(request.keys(0),
                                [this, id](const BlockRef*) { waits_.Fire(id); });
}

bool KvCore::Impl::AwaitCommit(const Call& call, const v1::CommitRequest& request,
                               uint64_t id) {
  for (const v1::CommitItem& item : request.items()) {
    const auto put = call.ops()->FindLease(request.op_id(), LeaseId{item.lease()});
    if (!put.has_value() || !PutOps::IsUnsettled(put->state)) return false;
    if (store_->settlements()->Await(put->settlement, [this, id] { waits_.Fire(id); })) {
      return true;
    }
  }
  return false;
}

bool KvCore::Impl::AwaitRemoval(const v1::RemoveRequest& request, uint64_t id) {
  for (const std::string& key : request.keys()) {
    if (store_->AwaitRemoval(key, [this, id] { waits_.Fire(id); })) return true;
  }
  return false;
}

}  // namespace kvasir
