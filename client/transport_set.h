#ifndef KVASIR_CLIENT_TRANSPORT_SET_H_
#define KVASIR_CLIENT_TRANSPORT_SET_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/client.h"
#include "client/options.h"
#include "rdma/transport.h"

namespace kvasir {

// The transports that a client may use. Thread-safe.
class TransportSet {
 public:
  // Those that `choice` allows and this build has, for nodes on `hosts`. `clock` must
  // outlive the set.
  TransportSet(TransportChoice choice, std::span<const std::string> hosts,
               const Clock* clock);
  ~TransportSet();

  // What to try for the node on hosts[node], best first: shm, then tcp. Owned by the set.
  std::vector<ClientTransport*> Ladder(size_t node) const;

  // Registers `memory` with every transport. The handle must not outlive the set.
  absl::StatusOr<std::unique_ptr<MemoryHandle>> Register(std::span<std::byte> memory) const;

 private:
  std::unique_ptr<ClientTransport> shm_;               // null if it is not allowed
  std::vector<std::unique_ptr<ClientTransport>> tcp_;  // one a host, or none
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_TRANSPORT_SET_H_
