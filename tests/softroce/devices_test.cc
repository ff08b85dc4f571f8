// What every test over verbs builds on: that the machine's RDMA devices do their part. It
// uses libibverbs alone, so that a failure here is not Kvasir's.

#include <gtest/gtest.h>
#include <infiniband/verbs.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kvasir {
namespace {

constexpr uint8_t kPort = 1;
constexpr size_t kBytes = size_t{1} << 20;
constexpr uint32_t kQueueEntries = 16;
// 4.096 us << 14 is 67 ms until a packet is sent again. More than 5 retries is never used:
// rxe takes 7 for "without end".
constexpr uint8_t kTimeout = 14;
constexpr uint8_t kRetries = 5;

// Empty polls until a completion is given up: minutes, where the longest wait is the 0.5 s of
// all retries.
constexpr int64_t kPollsMax = int64_t{1} << 30;

template <auto Destroy>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Destroy(object);
  }
};
using Context = std::unique_ptr<ibv_context, Deleter<ibv_close_device>>;
using Domain = std::unique_ptr<ibv_pd, Deleter<ibv_dealloc_pd>>;
using Memory = std::unique_ptr<ibv_mr, Deleter<ibv_dereg_mr>>;
using Completions = std::unique_ptr<ibv_cq, Deleter<ibv_destroy_cq>>;
using QueuePair = std::unique_ptr<ibv_qp, Deleter<ibv_destroy_qp>>;

// The devices at one end of the wires: those that the variable names, else the first one.
std::vector<std::string> DeviceNames(const char* variable) {
  std::vector<std::string> names;
  if (const char* text = std::getenv(variable)) {
    std::string_view rest = text;
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      names.emplace_back(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return names;
  }
  int count = 0;
  ibv_device** list = ibv_get_device_list(&count);
  if (count > 0) names.emplace_back(ibv_get_device_name(list[0]));
  if (list != nullptr) ibv_free_device_list(list);
  return names;
}

Context Open(const std::string& name) {
  Context context;
  int count = 0;
  ibv_device** list = ibv_get_device_list(&count);
  for (int i = 0; i < count; ++i) {
    if (name == ibv_get_device_name(list[i])) context.reset(ibv_open_device(list[i]));
  }
  if (list != nullptr) ibv_free_device_list(list);
  return context;
}

// The index of the GID that is RoCE v2 over an IPv4 address, or -1.
int Ipv4GidIndex(ibv_context* context) {
  std::array<ibv_gid_entry, 64> entries;
  const ssize_t count = ibv_query_gid_table(context, entries.data(), entries.size(), 0);
  constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  for (ssize_t i = 0; i < count; ++i) {
    const ibv_gid_entry& entry = entries[i];
    if (entry.port_num == kPort && entry.gid_type == IBV_GID_TYPE_ROCE_V2 &&
        std::memcmp(entry.gid.raw, kMapped.data(), kMapped.size()) == 0) {
      return static_cast<int>(entry.gid_index);
    }
  }
  return -1;
}

// One end of a connection: a device with 1 MiB that the other end may read and write.
struct End {
  Context context;
  ibv_port_attr port = {};
  int gid_index = -1;
  ibv_gid gid = {};
  Domain domain;
  std::vector<char> bytes;
  Memory memory;
  Completions completions;
  QueuePair queue_pair;
};

void OpenEnd(const std::string& name, End* end) {
  end->context = Open(name);
  ASSERT_NE(end->context, nullptr) << name;
  ASSERT_EQ(ibv_query_port(end->context.get(), kPort, &end->port), 0);
  end->gid_index = Ipv4GidIndex(end->context.get());
  ASSERT_GE(end->gid_index, 0) << name << " has no GID of RoCE v2 over IPv4";
  ASSERT_EQ(ibv_query_gid(end->context.get(), kPort, end->gid_index, &end->gid), 0);
  end->domain.reset(ibv_alloc_pd(end->context.get()));
  ASSERT_NE(end->domain, nullptr);
  end->bytes.resize(kBytes);
  constexpr int kAccess =
      IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
  end->memory.reset(
      ibv_reg_mr(end->domain.get(), end->bytes.data(), end->bytes.size(), kAccess));
  ASSERT_NE(end->memory, nullptr);
  end->completions.reset(
      ibv_create_cq(end->context.get(), kQueueEntries, nullptr, nullptr, 0));
  ASSERT_NE(end->completions, nullptr);
  ibv_qp_init_attr attributes = {};
  attributes.send_cq = end->completions.get();
  attributes.recv_cq = end->completions.get();
  attributes.cap = {kQueueEntries, kQueueEntries, 1, 1, 0};
  attributes.qp_type = IBV_QPT_RC;
  end->queue_pair.reset(ibv_create_qp(end->domain.get(), &attributes));
  ASSERT_NE(end->queue_pair, nullptr);
}

// From RESET to RTS, towards `peer`.
void Connect(const End& end, const End& peer) {
  ibv_qp* qp = end.queue_pair.get();
  ibv_qp_attr attributes = {};
  attributes.qp_state = IBV_QPS_INIT;
  attributes.port_num = kPort;
  attributes.qp_access_flags = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
  ASSERT_EQ(ibv_modify_qp(
                qp, &attributes,
                IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS),
            0);
  attributes = {};
  attributes.qp_state = IBV_QPS_RTR;
  attributes.path_mtu = end.port.active_mtu;
  attributes.dest_qp_num = peer.queue_pair->qp_num;
  attributes.max_dest_rd_atomic = 8;
  attributes.min_rnr_timer = 12;
  attributes.ah_attr.is_global = 1;
  attributes.ah_attr.port_num = kPort;
  attributes.ah_attr.grh.dgid = peer.gid;
  attributes.ah_attr.grh.sgid_index = static_cast<uint8_t>(end.gid_index);
  attributes.ah_attr.grh.hop_limit = 64;
  ASSERT_EQ(ibv_modify_qp(qp, &attributes,
                          IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                              IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
                              IBV_QP_MIN_RNR_TIMER),
            0);
  attributes = {};
  attributes.qp_state = IBV_QPS_RTS;
  attributes.timeout = kTimeout;
  attributes.retry_cnt = kRetries;
  attributes.rnr_retry = kRetries;
  attributes.max_rd_atomic = 8;
  ASSERT_EQ(ibv_modify_qp(qp, &attributes,
                          IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
                              IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC),
            0);
}

// Moves all of one end's memory in one request, and returns how it completed.
ibv_wc_status Move(const End& end, const End& peer, ibv_wr_opcode opcode) {
  ibv_sge piece = {reinterpret_cast<uint64_t>(end.bytes.data()), kBytes, end.memory->lkey};
  ibv_send_wr request = {};
  request.sg_list = &piece;
  request.num_sge = 1;
  request.opcode = opcode;
  request.send_flags = IBV_SEND_SIGNALED;
  request.wr.rdma.remote_addr = reinterpret_cast<uint64_t>(peer.bytes.data());
  request.wr.rdma.rkey = peer.memory->rkey;
  ibv_send_wr* refused = nullptr;
  EXPECT_EQ(ibv_post_send(end.queue_pair.get(), &request, &refused), 0);
  ibv_wc completion = {};
  for (int64_t polls = 0; polls < kPollsMax; ++polls) {
    const int count = ibv_poll_cq(end.completions.get(), 1, &completion);
    EXPECT_GE(count, 0);
    if (count != 0) return completion.status;
  }
  ADD_FAILURE() << "no completion";
  return IBV_WC_GENERAL_ERR;
}

class Devices : public testing::Test {
 protected:
  void SetUp() override {
    if (left_.empty()) GTEST_SKIP() << "no RDMA device on this machine";
    ASSERT_EQ(left_.size(), right_.size());
  }

  const std::vector<std::string> left_ = DeviceNames("SOFTROCE_LEFT");
  const std::vector<std::string> right_ = DeviceNames("SOFTROCE_RIGHT");
};

TEST_F(Devices, PortsAreActiveWithTheMtuAskedFor) {
  const char* mtu = std::getenv("SOFTROCE_MTU");
  for (const std::string& name : left_) {
    const Context context = Open(name);
    ASSERT_NE(context, nullptr) << name;
    ibv_port_attr port = {};
    ASSERT_EQ(ibv_query_port(context.get(), kPort, &port), 0);
    EXPECT_EQ(port.state, IBV_PORT_ACTIVE) << name;
    if (mtu != nullptr) {
      EXPECT_EQ(128 << port.active_mtu, std::atoi(mtu)) << name;
    }
  }
}

TEST_F(Devices, BytesAreReadAndWrittenOnEveryRail) {
  for (size_t rail = 0; rail < left_.size(); ++rail) {
    SCOPED_TRACE(left_[rail] + " to " + right_[rail]);
    End client;
    End server;
    ASSERT_NO_FATAL_FAILURE(OpenEnd(left_[rail], &client));
    ASSERT_NO_FATAL_FAILURE(OpenEnd(right_[rail], &server));
    ASSERT_NO_FATAL_FAILURE(Connect(client, server));
    ASSERT_NO_FATAL_FAILURE(Connect(server, client));
    for (size_t i = 0; i < kBytes; ++i) server.bytes[i] = static_cast<char>(i * 7 + rail);
    ASSERT_EQ(Move(client, server, IBV_WR_RDMA_READ), IBV_WC_SUCCESS);
    EXPECT_EQ(client.bytes, server.bytes);
    for (char& byte : client.bytes) byte = static_cast<char>(byte ^ 0x5a);
    ASSERT_EQ(Move(client, server, IBV_WR_RDMA_WRITE), IBV_WC_SUCCESS);
    EXPECT_EQ(client.bytes, server.bytes);
  }
}

}  // namespace
}  // namespace kvasir
