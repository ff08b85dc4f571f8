#ifndef KVASIR_RDMA_VERBS_CLIENT_H_
#define KVASIR_RDMA_VERBS_CLIENT_H_

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "rdma/transport.h"
#include "rdma/verbs_client_rail.h"
#include "rdma/verbs_device.h"
#include "rdma/verbs_memory_index.h"
#include "rdma/verbs_options.h"
#include "rdma/verbs_wire.h"

namespace kvasir {

// The client's half of the rdma transport: opens its NICs once, registers memory with
// each, and connects lanes of two queue pairs a NIC. Lanes move registered memory only.
// docs/transports.md tells how.
//
// Thread-safe. Lanes and registrations must not outlive it.
class VerbsClient final : public ClientTransport {
 public:
  // Opens the rails. FailedPrecondition, naming the device and what is wrong, if this host
  // cannot; ResourceExhausted if memory cannot be locked. `clock` is not owned and must
  // outlive the client.
  static absl::StatusOr<std::unique_ptr<VerbsClient>> Create(const VerbsDeviceOptions& options,
                                                             const Clock* clock);
  ~VerbsClient() override;

  // The rails, for people.
  std::string Describe() const;

  TransportKind kind() const override { return TransportKind::kRdma; }
  // Pins `memory`, once a NIC, until the registration dies. ResourceExhausted if it may
  // not be locked; InvalidArgument if it cannot be pinned.
  absl::StatusOr<std::unique_ptr<MemoryRegion>> Register(
      std::span<std::byte> memory) override;
  // The same for a dma-buf, such as GPU memory: lanes name its bytes by the addresses of
  // `memory`, which no CPU need be able to read (then without checksums). Unimplemented
  // where the NIC or the kernel cannot.
  absl::StatusOr<std::unique_ptr<MemoryRegion>> RegisterDmaBuf(
      std::span<std::byte> memory, const VerbsDevice::DmaBuf& buffer);
  // Connects and asks every queue pair of the server once. Rail i of this side talks to
  // rail i of the server's; what one of them has too many of is not used. A rail that does
  // not connect or answer is left out, with a warning, unless it is the last.
  absl::StatusOr<std::unique_ptr<Lane>> Connect(Rendezvous rendezvous,
                                                Instant deadline) override;

 private:
  VerbsClient(std::vector<std::unique_ptr<VerbsDevice>> rails, const Clock* clock);
  absl::Status RegisterScratch();
  // Connects the rails that the offer has and drops the others. What the last of them says
  // if none is left.
  static absl::Status ConnectRails(const VerbsOffer& offer,
                                   std::vector<std::unique_ptr<VerbsClientRail>>* ends);
  using Registrar = absl::FunctionRef<absl::StatusOr<VerbsMr>(const VerbsDevice& device)>;
  absl::StatusOr<std::unique_ptr<MemoryRegion>> RegisterOnAll(std::span<std::byte> memory,
                                                              Registrar with_one);

  const std::vector<std::unique_ptr<VerbsDevice>> rails_;
  const Clock* const clock_;
  VerbsMemoryIndex memory_;
  // What flushing READs bring: never looked at.
  alignas(64) std::array<std::byte, 64> scratch_{};
  std::unique_ptr<MemoryRegion> scratch_registration_;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_CLIENT_H_
