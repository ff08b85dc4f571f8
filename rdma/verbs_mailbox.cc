#include "rdma/verbs_mailbox.h"

#include <fmt/core.h>

#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/fd.h"

namespace kvasir {

absl::StatusOr<std::unique_ptr<VerbsMailbox>> VerbsMailbox::Make(const VerbsDevice& device) {
  std::unique_ptr<VerbsMailbox> mailbox(new VerbsMailbox());
  absl::StatusOr<VerbsMr> mr = device.Register(mailbox->memory_, IBV_ACCESS_LOCAL_WRITE);
  if (!mr.ok()) return mr.status();
  mailbox->mr_ = *std::move(mr);
  return mailbox;
}

absl::Status VerbsMailbox::PostReceive(ibv_qp* qp, uint64_t id) {
  ibv_sge slice = {.addr = reinterpret_cast<uint64_t>(memory_.data()),
                   .length = kLaneMessageBytesMax,
                   .lkey = mr_->lkey};
  ibv_recv_wr receive{};
  receive.wr_id = id;
  receive.sg_list = &slice;
  receive.num_sge = 1;
  ibv_recv_wr* bad = nullptr;
  const int error = ibv_post_recv(qp, &receive, &bad);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "receive message: post");
}

absl::Status VerbsMailbox::Send(ibv_qp* qp, uint64_t id, std::string_view message,
                                bool signalled) {
  KV_CHECK(message.size() <= kLaneMessageBytesMax);
  std::byte* const out = memory_.data() + kLaneMessageBytesMax;
  std::memcpy(out, message.data(), message.size());
  ibv_sge slice = {.addr = reinterpret_cast<uint64_t>(out),
                   .length = static_cast<uint32_t>(message.size()),
                   .lkey = mr_->lkey};
  ibv_send_wr send{};
  send.wr_id = id;
  send.sg_list = &slice;
  send.num_sge = 1;
  send.opcode = IBV_WR_SEND;
  send.send_flags = IBV_SEND_SOLICITED | (signalled ? IBV_SEND_SIGNALED : 0);
  ibv_send_wr* bad = nullptr;
  const int error = ibv_post_send(qp, &send, &bad);
  if (error == 0) return absl::OkStatus();
  return absl::UnavailableError(fmt::format("send message: post: {}", strerrordesc_np(error)));
}

}  // namespace kvasir
