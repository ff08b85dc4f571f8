#include "rdma/verbs_client_rail.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/fd.h"
#include "rdma/verbs_queue.h"

namespace kvasir {
namespace {

constexpr int kReapBatch = 32;

// wr_id of what belongs to messages, beyond every sequence number.
constexpr uint64_t kMessageBit = uint64_t{1} << 63;
constexpr uint64_t kSentId = kMessageBit;
constexpr uint64_t kAnswerId = kMessageBit | 1;

// wr_id: which queue, and the credit's sequence number.
uint64_t IdOf(Access access, uint64_t sequence) {
  return sequence << 1 | (access == Access::kWrite ? 1 : 0);
}

absl::Status StatusOf(ibv_wc_status status, const std::string& device) {
  const std::string text =
      fmt::format("move over {}: {}", device, ibv_wc_status_str(status));
  switch (status) {
    case IBV_WC_REM_ACCESS_ERR:
    case IBV_WC_REM_INV_REQ_ERR:
      return absl::PermissionDeniedError(text);
    case IBV_WC_LOC_PROT_ERR:
    case IBV_WC_LOC_LEN_ERR:
    case IBV_WC_LOC_QP_OP_ERR:
      return absl::InvalidArgumentError(text);
    default:
      return absl::UnavailableError(text);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<VerbsClientRail>> VerbsClientRail::Make(
    const VerbsDevice* device, size_t number) {
  std::unique_ptr<VerbsClientRail> rail(new VerbsClientRail(device, number));
  if (absl::Status made = rail->MakeQueues(); !made.ok()) return made;
  return rail;
}

VerbsClientRail::~VerbsClientRail() { Close(Clock::Real()); }

absl::Status VerbsClientRail::MakeQueues() {
  const VerbsDevice::Limits& limits = device_->limits();
  const uint32_t reads = std::min(limits.reads_out, kVerbsReadsMax);
  const uint32_t writes = std::min(limits.requests, kVerbsRequestsMax);
  // Of a message: one of each that asks for it, and the answer's.
  const uint32_t completions = reads + writes + 2;
  if (limits.completions < completions) {
    return absl::FailedPreconditionError(
        fmt::format("rdma: {} has {} completions a queue, {} are needed", device_->name(),
                    limits.completions, completions));
  }
  channel_.reset(ibv_create_comp_channel(device_->context()));
  if (channel_ == nullptr) return ErrnoStatus(errno, "rdma: make a completion channel");
  fcntl(channel_->fd, F_SETFL, fcntl(channel_->fd, F_GETFL) | O_NONBLOCK);
  cq_.reset(ibv_create_cq(device_->context(), static_cast<int>(completions), nullptr,
                          channel_.get(), 0));
  if (cq_ == nullptr) return ErrnoStatus(errno, "rdma: make a completion queue");
  address_ = device_->address();
  address_.reads_max = reads;
  address_.read_psn = RandomVerbsPsn();
  address_.write_psn = RandomVerbsPsn();
  for (const auto& [access, depth] :
       {std::pair{Access::kRead, reads}, std::pair{Access::kWrite, writes}}) {
    if (absl::Status made = MakeQueue(access, depth); !made.ok()) return made;
  }
  address_.read_qp = queue(Access::kRead).qp->qp_num;
  address_.write_qp = queue(Access::kWrite).qp->qp_num;
  return absl::OkStatus();
}

size_t VerbsClientRail::slices_max() const {
  return std::min<size_t>(device_->limits().slices, kVerbsSlicesMax);
}

absl::Status VerbsClientRail::MakeQueue(Access access, uint32_t requests_max) {
  Queue& one = queue(access);
  absl::StatusOr<VerbsQp> made = MakeVerbsQueue(
      *device_,
      {.cq = cq_.get(),
       .sends_max = requests_max + (access == Access::kRead ? 2 * kVerbsSilentMessagesMax : 0),
       .slices_max = static_cast<uint32_t>(slices_max())});
  if (!made.ok()) return made.status();
  one.qp = *std::move(made);
  one.credits = std::make_unique<VerbsCredits>(VerbsCredits::Limits{
      .requests_max = requests_max, .bytes_max = kVerbsFlightBytesMax});
  one.requests.reserve(requests_max);
  one.slices.reserve(requests_max);
  return absl::OkStatus();
}

absl::Status VerbsClientRail::Connect(const VerbsRail& offered) {
  if (offered.reads_max > address_.reads_max || offered.mtu_bytes > address_.mtu_bytes) {
    return absl::InvalidArgumentError(
        fmt::format("open rdma lane: offered {} reads and packets of {} bytes on {}, which "
                    "has {} and {}",
                    offered.reads_max, offered.mtu_bytes, device_->name(),
                    address_.reads_max, address_.mtu_bytes));
  }
  for (const Access access : {Access::kRead, Access::kWrite}) {
    const bool reads = access == Access::kRead;
    ibv_qp* const qp = queue(access).qp.get();
    const VerbsPeerQueue peer = {.address = offered,
                                 .qp = reads ? offered.read_qp : offered.write_qp,
                                 .psn = reads ? offered.read_psn : offered.write_psn,
                                 .reads_max = 0};
    absl::Status ready = ConnectVerbsQueue(qp, *device_, peer);
    if (ready.ok()) {
      ready = StartVerbsRequests(qp, {.psn = reads ? address_.read_psn : address_.write_psn,
                                      .reads_max = reads ? offered.reads_max : 0});
    }
    if (!ready.ok()) return ready;
  }
  queue(Access::kRead).credits = std::make_unique<VerbsCredits>(VerbsCredits::Limits{
      .requests_max = offered.reads_max, .bytes_max = kVerbsFlightBytesMax});
  return absl::OkStatus();
}

void VerbsClientRail::Add(const Request& request) {
  Queue& one = queue(request.access);
  const VerbsCredits::Posting posting = one.credits->Post(request.bytes, request.tag);
  auto& slices = one.slices.emplace_back();
  std::copy(request.slices.begin(), request.slices.end(), slices.begin());
  ibv_send_wr& wr = one.requests.emplace_back();
  wr = {};
  wr.wr_id = IdOf(request.access, posting.sequence);
  wr.sg_list = slices.data();
  wr.num_sge = static_cast<int>(request.slices.size());
  wr.opcode = request.access == Access::kRead ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
  wr.send_flags = posting.signalled ? IBV_SEND_SIGNALED : 0;
  wr.wr.rdma.remote_addr = request.remote_address;
  wr.wr.rdma.rkey = request.remote_key;
}

absl::Status VerbsClientRail::Post() {
  for (Queue& one : queues_) {
    if (one.requests.empty()) continue;
    if (absl::Status posted = PostQueue(&one); !posted.ok()) return posted;
  }
  return absl::OkStatus();
}

absl::Status VerbsClientRail::PostQueue(Queue* one) {
  for (size_t i = 0; i + 1 < one->requests.size(); ++i) {
    one->requests[i].next = &one->requests[i + 1];
  }
  if (one->credits->SignalLast()) one->requests.back().send_flags |= IBV_SEND_SIGNALED;
  ibv_send_wr* bad = nullptr;
  const int error = ibv_post_send(one->qp.get(), one->requests.data(), &bad);
  one->requests.clear();
  one->slices.clear();
  if (error == 0) return absl::OkStatus();
  return absl::UnavailableError(
      fmt::format("move over {}: post: {}", device_->name(), strerrordesc_np(error)));
}

std::optional<VerbsClientRail::Failure> VerbsClientRail::Reap(
    absl::FunctionRef<void(size_t tag)> settled) {
  std::array<ibv_wc, kReapBatch> completions;
  std::optional<Failure> first;
  while (true) {
    const int count = ibv_poll_cq(cq_.get(), kReapBatch, completions.data());
    if (count < 0) {
      return Failure{.status = absl::UnavailableError(
                         fmt::format("move over {}: poll fails", device_->name()))};
    }
    for (int i = 0; i < count; ++i) {
      std::optional<Failure> failed = Take(completions[static_cast<size_t>(i)], settled);
      if (failed.has_value() && !first.has_value()) first = std::move(failed);
    }
    if (count < kReapBatch) return first;
  }
}

std::optional<VerbsClientRail::Failure> VerbsClientRail::Take(
    const ibv_wc& completion, absl::FunctionRef<void(size_t tag)> settled) {
  if ((completion.wr_id & kMessageBit) != 0) return TakeMessage(completion);
  Queue& one = queue((completion.wr_id & 1) != 0 ? Access::kWrite : Access::kRead);
  const bool good = completion.status == IBV_WC_SUCCESS;
  // Of a failure, those before it are done and the last is the culprit.
  std::optional<size_t> last;
  one.credits->Complete(completion.wr_id >> 1, [&](size_t tag) {
    if (last.has_value()) settled(*last);
    last = tag;
  });
  if (good && last.has_value()) settled(*last);
  if (good) return std::nullopt;
  return Failure{.status = StatusOf(completion.status, device_->name()),
                 .tag = last.value_or(SIZE_MAX)};
}

absl::Status VerbsClientRail::OpenMailbox() {
  absl::StatusOr<std::unique_ptr<VerbsMailbox>> mailbox = VerbsMailbox::Make(*device_);
  if (mailbox.ok()) mailbox_ = *std::move(mailbox);
  return mailbox.status();
}

absl::Status VerbsClientRail::SendMessage(std::string_view message) {
  KV_CHECK(has_mailbox() && !exchanging());
  ibv_qp* const qp = queue(Access::kRead).qp.get();
  if (absl::Status posted = mailbox_->PostReceive(qp, kAnswerId); !posted.ok()) {
    return absl::UnavailableError(posted.message());
  }
  answer_due_ = true;
  send_due_ = ++silent_messages_ == kVerbsSilentMessagesMax;
  if (send_due_) silent_messages_ = 0;
  return mailbox_->Send(qp, kSentId, message, send_due_);
}

std::optional<VerbsClientRail::Failure> VerbsClientRail::TakeMessage(
    const ibv_wc& completion) {
  const bool is_answer = completion.wr_id == kAnswerId;
  (is_answer ? answer_due_ : send_due_) = false;
  if (is_answer) answer_bytes_ = completion.byte_len;
  if (completion.status == IBV_WC_SUCCESS) return std::nullopt;
  return Failure{.status = StatusOf(completion.status, device_->name()), .tag = SIZE_MAX};
}

absl::Status VerbsClientRail::Arm() {
  const int error = ibv_req_notify_cq(cq_.get(), 0);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "rdma: arm a completion queue");
}

void VerbsClientRail::TakeEvent() {
  ibv_cq* cq = nullptr;
  void* context = nullptr;
  if (ibv_get_cq_event(channel_.get(), &cq, &context) == 0) ++events_taken_;
}

void VerbsClientRail::Close(const Clock* clock) {
  if (cq_ == nullptr) return;
  for (Queue& one : queues_) {
    // A device that is gone touches nothing any more; others do not fail here.
    if (one.qp != nullptr) FailVerbsQueue(one.qp.get()).IgnoreError();
  }
  const Instant patience = clock->Now() + kVerbsDrainPatience;
  const auto in_flight = [this] {
    return std::any_of(queues_.begin(), queues_.end(), [](const Queue& one) {
      return one.credits != nullptr && one.credits->requests_in_flight() > 0;
    });
  };
  while (in_flight() && clock->Now() < patience) {
    (void)Reap([](size_t) {});
  }
  for (Queue& one : queues_) one.qp.reset();
  ibv_ack_cq_events(cq_.get(), events_taken_);
  cq_.reset();
  channel_.reset();
}

}  // namespace kvasir
