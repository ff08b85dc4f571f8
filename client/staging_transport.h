#ifndef KVASIR_CLIENT_STAGING_TRANSPORT_H_
#define KVASIR_CLIENT_STAGING_TRANSPORT_H_

#include <cstddef>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "client/registered_memory.h"
#include "client/staging_pool.h"
#include "rdma/transport.h"

namespace kvasir {

// Makes a transport that moves registered memory only, such as rdma, take any memory: its
// lanes stage slices that no registration covers through two bounded pools, one for gets
// and one for puts. A batch that needs more than one buffer goes in rounds and holds one
// at a time, so that batches cannot wait for each other. A block that is larger than a
// buffer is refused (ResourceExhausted) without taking one.
//
// Thread-safe; lanes and registrations must not outlive it.
class StagingTransport final : public ClientTransport {
 public:
  // `clock` must outlive the transport.
  StagingTransport(std::unique_ptr<ClientTransport> inner, const StagingPool::Options& options,
                   const Clock* clock);
  ~StagingTransport() override;

  TransportKind kind() const override { return inner_->kind(); }
  absl::StatusOr<std::unique_ptr<MemoryRegion>> Register(
      std::span<std::byte> memory) override;
  absl::StatusOr<std::unique_ptr<Lane>> Connect(Rendezvous rendezvous,
                                                Instant deadline) override;

  uint64_t staged_bytes() const { return gets_.staged_bytes() + puts_.staged_bytes(); }

 private:
  const std::unique_ptr<ClientTransport> inner_;
  RegisteredMemory registered_;
  StagingPool gets_;
  StagingPool puts_;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_STAGING_TRANSPORT_H_
