#ifndef KVASIR_RDMA_SHM_CLIENT_H_
#define KVASIR_RDMA_SHM_CLIENT_H_

#include <chrono>
#include <memory>

#include "base/clock.h"
#include "rdma/transport.h"

namespace kvasir {

// The client's half of `shm`. Any memory of the process may be registered; nothing is
// pinned. Lanes share one read-only mapping of each region; they must not outlive the
// transport. A client that may not reach the server's socket (another host, container or
// user) gets FailedPrecondition from Connect.
class ShmClient {
 public:
  struct Options {
    // How long a Connect that maps a region first may enter its pages ahead of use, but
    // at most half of its own time. 8 GiB/s measured with 4 KiB pages.
    std::chrono::milliseconds populate_time_max{50};
  };
  // `clock` is not owned and must outlive the transport.
  static std::unique_ptr<ClientTransport> Create(const Options& options,
                                                 const Clock* clock);
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_SHM_CLIENT_H_
