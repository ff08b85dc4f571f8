#include "rdma/verbs_lane_mail.h"

namespace kvasir {

absl::Status VerbsLaneMail::Open(ibv_qp* qp, VerbsMailbox* mailbox) {
  absl::MutexLock lock(&mu_);
  qp_ = qp;
  mailbox_ = mailbox;
  return mailbox_->PostReceive(qp_, tag_);
}

std::optional<std::string> VerbsLaneMail::Take(size_t bytes) {
  absl::MutexLock lock(&mu_);
  if (qp_ == nullptr) return std::nullopt;
  return std::string(mailbox_->received(bytes));
}

bool VerbsLaneMail::Reply(std::string_view answer) {
  absl::MutexLock lock(&mu_);
  if (qp_ == nullptr) return false;
  if (under_way_ < kVerbsAnswersMax) return Post(answer);
  waiting_ = std::string(answer);
  return true;
}

bool VerbsLaneMail::Post(std::string_view answer) {
  // First, so that the client's next message finds it.
  if (!mailbox_->PostReceive(qp_, tag_).ok()) return false;
  ++under_way_;
  return mailbox_->Send(qp_, tag_ | kVerbsReplyBit, answer, /*signalled=*/true).ok();
}

void VerbsLaneMail::OnArrived() {
  absl::MutexLock lock(&mu_);
  --under_way_;
  if (qp_ == nullptr || !waiting_.has_value()) return;
  // A queue pair that takes no requests has failed, and says so by what it flushes.
  (void)Post(*waiting_);
  waiting_.reset();
}

void VerbsLaneMail::Cut() {
  absl::MutexLock lock(&mu_);
  qp_ = nullptr;
  mailbox_ = nullptr;
}

}  // namespace kvasir
