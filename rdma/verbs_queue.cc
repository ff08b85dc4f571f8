#include "rdma/verbs_queue.h"

#include <fmt/core.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "base/random.h"
#include "rdma/verbs_gid.h"

namespace kvasir {
namespace {

constexpr uint8_t kHopsMax = 64;
constexpr uint32_t kPsnMask = (1u << 24) - 1;

ibv_mtu MtuOf(uint32_t bytes) {
  return static_cast<ibv_mtu>(std::bit_width(bytes) - std::bit_width(128u));
}

absl::Status Modify(ibv_qp* qp, ibv_qp_attr* attributes, int mask, std::string_view what) {
  const int error = ibv_modify_qp(qp, attributes, mask);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, what);
}

absl::Status Initialize(ibv_qp* qp, const VerbsDevice& device, int remote_access) {
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_INIT;
  attributes.port_num = device.port();
  attributes.qp_access_flags = static_cast<unsigned>(remote_access);
  return Modify(qp, &attributes,
                IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS,
                fmt::format("rdma: initialize a queue pair of {}", device.name()));
}

absl::Status PostReceive(ibv_qp* qp, uint64_t tag) {
  ibv_recv_wr receive{};
  receive.wr_id = tag;
  ibv_recv_wr* bad = nullptr;
  const int error = ibv_post_recv(qp, &receive, &bad);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "rdma: post a receive");
}

ibv_ah_attr PathTo(const VerbsRail& address, const VerbsDevice& device) {
  ibv_ah_attr path{};
  path.port_num = device.port();
  if (address.lid != 0) {
    path.dlid = address.lid;
    return path;
  }
  path.is_global = 1;
  std::memcpy(path.grh.dgid.raw, address.gid.data(), address.gid.size());
  path.grh.sgid_index = static_cast<uint8_t>(device.gid_index());
  path.grh.hop_limit = kHopsMax;
  return path;
}

}  // namespace

absl::StatusOr<VerbsQp> MakeVerbsQueue(const VerbsDevice& device,
                                       const VerbsQueueOptions& options) {
  ibv_qp_init_attr initial{};
  initial.send_cq = options.cq;
  initial.recv_cq = options.cq;
  initial.cap.max_send_wr = options.sends_max;
  initial.cap.max_recv_wr = 1;
  initial.cap.max_send_sge = options.slices_max;
  initial.cap.max_recv_sge = 1;
  initial.qp_type = IBV_QPT_RC;
  initial.sq_sig_all = 0;
  VerbsQp qp(ibv_create_qp(device.pd(), &initial));
  if (qp == nullptr) {
    return ErrnoStatus(errno, fmt::format("rdma: make a queue pair of {} requests on {}",
                                          options.sends_max, device.name()));
  }
  absl::Status ready = Initialize(qp.get(), device, options.remote_access);
  if (ready.ok() && options.with_receive) ready = PostReceive(qp.get(), options.tag);
  if (!ready.ok()) return ready;
  return qp;
}

absl::Status ConnectVerbsQueue(ibv_qp* qp, const VerbsDevice& device,
                               const VerbsPeerQueue& peer) {
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_RTR;
  attributes.path_mtu = MtuOf(peer.address.mtu_bytes);
  attributes.dest_qp_num = peer.qp;
  attributes.rq_psn = peer.psn;
  attributes.max_dest_rd_atomic = static_cast<uint8_t>(peer.reads_max);
  attributes.min_rnr_timer = kVerbsNotReadyTimer;
  attributes.ah_attr = PathTo(peer.address, device);
  const absl::Status connected =
      Modify(qp, &attributes,
             IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                 IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER,
             fmt::format("rdma: connect {} to {} with packets of {} bytes", device.name(),
                         peer.address.lid != 0 ? fmt::format("LID {}", peer.address.lid)
                                               : FormatGid(peer.address.gid),
                         peer.address.mtu_bytes));
  return connected.ok() ? connected : absl::UnavailableError(connected.message());
}

uint32_t RandomVerbsPsn() { return static_cast<uint32_t>(SecureRandom64()) & kPsnMask; }

absl::Status StartVerbsRequests(ibv_qp* qp, const VerbsRequester& requester) {
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_RTS;
  attributes.sq_psn = requester.psn;
  attributes.max_rd_atomic = static_cast<uint8_t>(requester.reads_max);
  attributes.timeout = kVerbsAckTimeout;
  attributes.retry_cnt = kVerbsRetries;
  attributes.rnr_retry = kVerbsNotReadyRetries;
  return Modify(qp, &attributes,
                IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC | IBV_QP_TIMEOUT |
                    IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY,
                fmt::format("rdma: start a queue pair with {} reads", requester.reads_max));
}

absl::Status FailVerbsQueue(ibv_qp* qp) {
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_ERR;
  return Modify(qp, &attributes, IBV_QP_STATE, "rdma: stop a queue pair");
}

}  // namespace kvasir
