#ifndef KVASIR_RDMA_VERBS_DEVICE_H_
#define KVASIR_RDMA_VERBS_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "rdma/verbs_handles.h"
#include "rdma/verbs_options.h"
#include "rdma/verbs_wire.h"

namespace kvasir {

// An open port of a NIC with a protection domain of its own. Immutable; thread-safe.
class VerbsDevice {
 public:
  // FailedPrecondition, with the device and what is wrong: no such device, no active
  // port, no address of RoCE v2, no LID, a path MTU that cannot be.
  static absl::StatusOr<std::unique_ptr<VerbsDevice>> Open(const std::string& name,
                                                           const VerbsDeviceOptions& options);

  // Bounds of the NIC.
  struct Limits {
    uint32_t reads_out = 0;      // READs in flight that it can issue on a queue pair
    uint32_t reads_in = 0;       // ... and answer
    uint32_t requests = 0;       // of a send queue
    uint32_t slices = 0;         // of a request
    uint32_t completions = 0;    // of a completion queue
  };

  const std::string& name() const { return name_; }
  uint8_t port() const { return port_; }
  ibv_context* context() const { return context_.get(); }
  ibv_pd* pd() const { return pd_.get(); }
  const Limits& limits() const { return limits_; }
  uint32_t gid_index() const { return gid_index_; }
  // How others reach it: gid, lid and mtu_bytes; the rest is of a lane.
  const VerbsRail& address() const { return address_; }
  // "mlx5_0 port 1, RoCE v2 10.1.0.1 (GID 3), MTU 4096", for people.
  const std::string& description() const { return description_; }

  // Registers memory. ResourceExhausted if the memlock limit or the NIC does not allow
  // it, with the limit; InvalidArgument for memory that cannot be pinned.
  absl::StatusOr<VerbsMr> Register(std::span<std::byte> memory, int access) const;
  // The same for [offset_bytes, offset_bytes + memory.size()) of a dma-buf, such as GPU
  // memory, that is to be named by the addresses of `memory`. Unimplemented where the NIC or the
  // kernel cannot.
  struct DmaBuf {
    int fd = -1;
    uint64_t offset_bytes = 0;
  };
  absl::StatusOr<VerbsMr> RegisterDmaBuf(std::span<std::byte> memory, const DmaBuf& buffer,
                                         int access) const;

 private:
  VerbsDevice(std::string name, VerbsContext context);
  absl::Status ReadLimits();
  absl::Status ChoosePort(const VerbsDeviceOptions& options);
  absl::Status ChooseAddress(const VerbsDeviceOptions& options, const ibv_port_attr& port);
  absl::Status ChooseGidRow(const VerbsDeviceOptions& options, const ibv_port_attr& port);
  absl::Status Fault(std::string_view what) const;

  const std::string name_;
  const VerbsContext context_;
  VerbsDomain pd_;
  uint8_t port_ = 0;
  uint32_t gid_index_ = 0;
  Limits limits_;
  VerbsRail address_;
  std::string description_;
};

// The rails that the options ask for. FailedPrecondition if this host has no RDMA device;
// else as VerbsDevice::Open has it.
absl::StatusOr<std::vector<std::unique_ptr<VerbsDevice>>> OpenVerbsRails(
    const VerbsDeviceOptions& options);

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_DEVICE_H_
