#ifndef KVASIR_CLIENT_TRANSPORT_SET_H_
#define KVASIR_CLIENT_TRANSPORT_SET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/client.h"
#include "client/options.h"
#include "client/staging_transport.h"
#include "rdma/transport.h"

namespace kvasir {

// The transports that a client may use. Thread-safe.
class TransportSet {
 public:
  // Those that options.transport allows, for nodes on `hosts`. With kAuto, rdma is left
  // out where there is no device; with kRdma, every use then says why. `clock` must outlive
  // the set.
  TransportSet(const ClientOptions& options, std::span<const std::string> hosts,
               const Clock* clock);
  ~TransportSet();

  // What to try for the node on hosts[node], best first: shm, rdma, tcp. Owned by the
  // set.
  std::vector<ClientTransport*> Ladder(size_t node) const;

  // Registers `memory` with every transport; rdma pins it. With kAuto, memory that cannot
  // be pinned is staged there, with a warning. The handle must not outlive the set.
  absl::StatusOr<std::unique_ptr<MemoryHandle>> Register(std::span<std::byte> memory) const;

  // Whether rdma is among them, and has a device.
  bool has_rdma() const { return staging_ != nullptr; }

  // Bytes that went through staging buffers.
  uint64_t staged_bytes() const { return staging_ == nullptr ? 0 : staging_->staged_bytes(); }

 private:
  void AddRdma(const ClientOptions& options);

  const TransportChoice choice_;
  const Clock* const clock_;
  std::unique_ptr<ClientTransport> shm_;               // null if it is not allowed
  std::unique_ptr<ClientTransport> rdma_;              // null if it is not there
  const StagingTransport* staging_ = nullptr;          // rdma_, if it works
  std::vector<std::unique_ptr<ClientTransport>> tcp_;  // one a host, or none
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_TRANSPORT_SET_H_
