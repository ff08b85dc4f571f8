#include "rdma/verbs_device.h"

#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/fd.h"
#include "rdma/verbs_gid.h"

namespace kvasir {
namespace {

constexpr size_t kGidsMax = 256;  // rows of a port's table that are looked at

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

uint32_t MtuBytes(ibv_mtu mtu) { return 128u << static_cast<unsigned>(mtu); }

std::string JoinNames(std::span<ibv_device* const> devices) {
  std::string names;
  for (ibv_device* const device : devices) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", ibv_get_device_name(device));
  }
  return names;
}

// The devices of this host; freed with the object.
class DeviceList {
 public:
  DeviceList() : list_(ibv_get_device_list(&count_)) {}
  ~DeviceList() {
    if (list_ != nullptr) ibv_free_device_list(list_);
  }
  DeviceList(const DeviceList&) = delete;
  DeviceList& operator=(const DeviceList&) = delete;

  std::span<ibv_device* const> devices() const {
    return {list_, list_ == nullptr ? 0 : static_cast<size_t>(count_)};
  }

 private:
  int count_ = 0;
  ibv_device** const list_;
};

absl::Status NoDevices() {
  return absl::FailedPreconditionError(
      "rdma: this host has no RDMA device (`ibv_devices` lists them)");
}

std::string MemlockLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return "unknown";
  if (limit.rlim_cur == RLIM_INFINITY) return "unlimited";
  return fmt::format("{} bytes", limit.rlim_cur);
}

}  // namespace

absl::StatusOr<std::unique_ptr<VerbsDevice>> VerbsDevice::Open(
    const std::string& name, const VerbsDeviceOptions& options) {
  const DeviceList list;
  const auto found =
      std::find_if(list.devices().begin(), list.devices().end(),
                   [&](ibv_device* one) { return name == ibv_get_device_name(one); });
  if (list.devices().empty()) return NoDevices();
  if (found == list.devices().end()) {
    return absl::FailedPreconditionError(fmt::format(
        "rdma: there is no device {} here; there are {}", name, JoinNames(list.devices())));
  }
  VerbsContext context(ibv_open_device(*found));
  if (context == nullptr) return ErrnoStatus(errno, fmt::format("rdma: open {}", name));
  std::unique_ptr<VerbsDevice> device(new VerbsDevice(name, std::move(context)));
  if (absl::Status read = device->ReadLimits(); !read.ok()) return read;
  if (absl::Status chosen = device->ChoosePort(options); !chosen.ok()) return chosen;
  return device;
}

VerbsDevice::VerbsDevice(std::string name, VerbsContext context)
    : name_(std::move(name)), context_(std::move(context)) {}

absl::Status VerbsDevice::Fault(std::string_view what) const {
  return absl::FailedPreconditionError(fmt::format("rdma: {} {}", name_, what));
}

absl::Status VerbsDevice::ReadLimits() {
  ibv_device_attr attributes{};
  if (const int error = ibv_query_device(context_.get(), &attributes); error != 0) {
    return ErrnoStatus(error, fmt::format("rdma: query {}", name_));
  }
  pd_.reset(ibv_alloc_pd(context_.get()));
  if (pd_ == nullptr) {
    return ErrnoStatus(errno, fmt::format("rdma: make a protection domain on {}", name_));
  }
  limits_ = {.reads_out = static_cast<uint32_t>(attributes.max_qp_init_rd_atom),
             .reads_in = static_cast<uint32_t>(attributes.max_qp_rd_atom),
             .requests = static_cast<uint32_t>(attributes.max_qp_wr),
             .slices = static_cast<uint32_t>(attributes.max_sge),
             .completions = static_cast<uint32_t>(attributes.max_cqe)};
  if (limits_.reads_out == 0 || limits_.reads_in == 0) return Fault("cannot do RDMA READ");
  return absl::OkStatus();
}

absl::Status VerbsDevice::ChoosePort(const VerbsDeviceOptions& options) {
  ibv_device_attr attributes{};
  if (const int error = ibv_query_device(context_.get(), &attributes); error != 0) {
    return ErrnoStatus(error, fmt::format("rdma: query {}", name_));
  }
  if (options.port > attributes.phys_port_cnt) {
    return Fault(fmt::format("has ports 1 to {}, not {}", attributes.phys_port_cnt,
                             options.port));
  }
  std::string states;
  for (uint8_t port = 1; port <= attributes.phys_port_cnt; ++port) {
    if (options.port != 0 && port != options.port) continue;
    ibv_port_attr state{};
    if (const int error = ibv_query_port(context_.get(), port, &state); error != 0) {
      return ErrnoStatus(error, fmt::format("rdma: query {} port {}", name_, port));
    }
    if (state.state == IBV_PORT_ACTIVE) {
      port_ = port;
      return ChooseAddress(options, state);
    }
    states += fmt::format("{}port {} is {}", states.empty() ? "" : ", ", port,
                          ibv_port_state_str(state.state));
  }
  return Fault(fmt::format("has no active port: {}", states));
}

absl::Status VerbsDevice::ChooseAddress(const VerbsDeviceOptions& options,
                                        const ibv_port_attr& port) {
  const uint32_t mtu = options.mtu_bytes_max;
  if (mtu < 256 || (mtu & (mtu - 1)) != 0) {
    return Fault(fmt::format("cannot use packets of {} bytes: 256, 512, 1024, 2048 and "
                             "4096 are possible",
                             mtu));
  }
  address_.mtu_bytes = std::min(MtuBytes(port.active_mtu), mtu);
  if (port.link_layer != IBV_LINK_LAYER_INFINIBAND) return ChooseGidRow(options, port);
  if (port.lid == 0) {
    return Fault(fmt::format("port {} has no LID: is a subnet manager running?", port_));
  }
  address_.lid = port.lid;
  description_ = fmt::format("{} port {}, InfiniBand LID {}, MTU {}", name_, port_,
                             address_.lid, address_.mtu_bytes);
  return absl::OkStatus();
}

absl::Status VerbsDevice::ChooseGidRow(const VerbsDeviceOptions& options,
                                       const ibv_port_attr&) {
  std::vector<ibv_gid_entry> rows(kGidsMax);
  const ssize_t count = ibv_query_gid_table(context_.get(), rows.data(), rows.size(), 0);
  if (count < 0) {
    return ErrnoStatus(static_cast<int>(-count), fmt::format("rdma: read GIDs of {}", name_));
  }
  rows.resize(static_cast<size_t>(count));
  std::vector<VerbsGidEntry> entries;
  for (const ibv_gid_entry& row : rows) {
    if (row.port_num != port_) continue;
    VerbsGidEntry& entry = entries.emplace_back();
    entry.index = row.gid_index;
    entry.kind = row.gid_type == IBV_GID_TYPE_ROCE_V2   ? VerbsGidKind::kRoceV2
                 : row.gid_type == IBV_GID_TYPE_ROCE_V1 ? VerbsGidKind::kRoceV1
                                                        : VerbsGidKind::kInfiniBand;
    std::memcpy(entry.gid.data(), row.gid.raw, entry.gid.size());
  }
  const absl::StatusOr<VerbsGidEntry> chosen = ChooseGid(entries, options.gid_index);
  if (!chosen.ok()) return Fault(fmt::format("port {} {}", port_, MessageOf(chosen.status())));
  gid_index_ = chosen->index;
  address_.gid = chosen->gid;
  description_ = fmt::format("{} port {}, RoCE v2 {} (GID {}), MTU {}", name_, port_,
                             FormatGid(chosen->gid), gid_index_, address_.mtu_bytes);
  return absl::OkStatus();
}

absl::StatusOr<VerbsMr> VerbsDevice::Register(std::span<std::byte> memory,
                                              int access) const {
  VerbsMr mr(ibv_reg_mr(pd_.get(), memory.data(), memory.size(), access));
  if (mr != nullptr) return mr;
  const int error = errno;
  const std::string what =
      fmt::format("rdma: register {} bytes with {}", memory.size(), name_);
  if (error != ENOMEM && error != EAGAIN) return ErrnoStatus(error, what);
  return absl::ResourceExhaustedError(
      fmt::format("{}: {}; the limit of locked memory (`ulimit -l`) is {}", what,
                  strerrordesc_np(error), MemlockLimit()));
}

absl::StatusOr<VerbsMr> VerbsDevice::RegisterDmaBuf(std::span<std::byte> memory,
                                                    const DmaBuf& buffer,
                                                    int access) const {
  VerbsMr mr(ibv_reg_dmabuf_mr(pd_.get(), buffer.offset_bytes, memory.size(),
                               reinterpret_cast<uint64_t>(memory.data()), buffer.fd, access));
  if (mr != nullptr) return mr;
  const int error = errno;
  if (error == EOPNOTSUPP || error == ENOSYS) {
    return absl::UnimplementedError(
        fmt::format("rdma: {} or its driver does not know dma-bufs", name_));
  }
  return ErrnoStatus(error, fmt::format("rdma: register {} bytes of a dma-buf with {}",
                                        memory.size(), name_));
}

absl::StatusOr<std::vector<std::unique_ptr<VerbsDevice>>> OpenVerbsRails(
    const VerbsDeviceOptions& options) {
  std::vector<std::unique_ptr<VerbsDevice>> rails;
  for (const std::string& name : options.devices) {
    absl::StatusOr<std::unique_ptr<VerbsDevice>> rail = VerbsDevice::Open(name, options);
    if (!rail.ok()) return rail.status();
    rails.push_back(*std::move(rail));
  }
  if (!rails.empty()) return rails;
  const DeviceList list;
  absl::Status failed = NoDevices();
  for (ibv_device* const one : list.devices()) {
    absl::StatusOr<std::unique_ptr<VerbsDevice>> rail =
        VerbsDevice::Open(ibv_get_device_name(one), options);
    if (!rail.ok()) {
      failed = rail.status();
      continue;
    }
    rails.push_back(*std::move(rail));
    return rails;
  }
  return failed;
}

}  // namespace kvasir
