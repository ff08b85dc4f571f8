#include "rdma/verbs_lane_table.h"

#include <fmt/core.h>

#include <utility>

namespace kvasir {
namespace {

// Waits for answers that are being posted, so without the table's lock.
void CutMail(const std::vector<VerbsLaneTable::Queue>& queues) {
  for (const VerbsLaneTable::Queue& queue : queues) {
    if (queue.mail != nullptr) queue.mail->Cut();
  }
}

}  // namespace

VerbsLaneTable::~VerbsLaneTable() {
  for (const auto& [id, session] : sessions_) {
    for (const auto& [lane, queues] : session.lanes) CutMail(queues);
  }
}

uint64_t VerbsLaneTable::NewTag() {
  absl::MutexLock lock(&mu_);
  return next_tag_++;
}

absl::Status VerbsLaneTable::Add(SessionId session, LaneId lane, std::vector<Queue> queues) {
  absl::MutexLock lock(&mu_);
  if (lanes_ >= lanes_max_) {
    return absl::ResourceExhaustedError(
        fmt::format("open rdma lane: {} are open, no more are possible", lanes_));
  }
  Lanes& lanes = sessions_[session].lanes;
  if (lanes.contains(lane)) {
    return absl::FailedPreconditionError(fmt::format("open rdma lane: {} is open already",
                                                     static_cast<uint64_t>(lane)));
  }
  for (const Queue& queue : queues) tags_[queue.tag] = {session, queue.mail};
  lanes[lane] = std::move(queues);
  ++lanes_;
  return absl::OkStatus();
}

void VerbsLaneTable::TakeLocked(std::vector<Queue>* lane, FenceScope scope,
                                std::vector<Queue>* taken) {
  for (Queue& queue : *lane) {
    const bool cut = scope == FenceScope::kAll || queue.access == Access::kWrite;
    if (!cut || queue.qp == nullptr) continue;
    tags_.erase(queue.tag);
    taken->push_back(std::move(queue));
  }
}

std::vector<VerbsCutQueue> VerbsLaneTable::Take(const FenceTarget& target) {
  std::vector<Queue> taken = TakeQueues(target);
  CutMail(taken);
  std::vector<VerbsCutQueue> cut;
  for (Queue& queue : taken) cut.push_back({std::move(queue.mailbox), std::move(queue.qp)});
  return cut;
}

std::vector<VerbsLaneTable::Queue> VerbsLaneTable::TakeQueues(const FenceTarget& target) {
  std::vector<Queue> taken;
  absl::MutexLock lock(&mu_);
  const auto session = sessions_.find(target.session);
  if (session == sessions_.end()) return taken;
  Lanes& lanes = session->second.lanes;
  for (auto lane = lanes.begin(); lane != lanes.end();) {
    const auto here = lane++;
    if (target.lane != LaneId{} && here->first != target.lane) continue;
    TakeLocked(&here->second, target.scope, &taken);
    if (target.scope != FenceScope::kAll) continue;
    lanes.erase(here);
    --lanes_;
  }
  if (target.lane == LaneId{} && target.scope == FenceScope::kAll) sessions_.erase(session);
  return taken;
}

std::shared_ptr<VerbsLaneMail> VerbsLaneTable::MailOf(uint64_t tag) {
  absl::MutexLock lock(&mu_);
  const auto found = tags_.find(tag);
  return found == tags_.end() ? nullptr : found->second.mail;
}

void VerbsLaneTable::Lose(uint64_t tag) {
  absl::MutexLock lock(&mu_);
  tags_.erase(tag);
}

bool VerbsLaneTable::Trip(uint64_t tag) {
  absl::MutexLock lock(&mu_);
  const auto found = tags_.find(tag);
  if (found == tags_.end()) return false;
  const SessionId session = found->second.session;
  tags_.erase(found);
  ++refusals_;
  if (++sessions_[session].refusals == kVerbsRefusalsMax) misbehaved_.push_back(session);
  return true;
}

std::vector<SessionId> VerbsLaneTable::TakeMisbehaved() {
  absl::MutexLock lock(&mu_);
  return std::exchange(misbehaved_, {});
}

size_t VerbsLaneTable::lanes() const {
  absl::MutexLock lock(&mu_);
  return lanes_;
}

uint64_t VerbsLaneTable::refusals() const {
  absl::MutexLock lock(&mu_);
  return refusals_;
}

}  // namespace kvasir
