#ifndef KVASIR_RDMA_SHM_SERVER_H_
#define KVASIR_RDMA_SHM_SERVER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/limits.h"
#include "rdma/transport.h"

namespace kvasir {

// The server's half of `shm`, for clients on the same host. Gets never come here: the
// client maps the regions, sealed against writing, and copies for itself, so stats()
// counts no reads (the client does). Puts pass through a ring of each lane's own: the
// client copies in, Poll copies out, under the gate. docs/transports.md tells the rest.
//
// A fence ends a read lane by hanging up, which its client sees before it calls a read
// done; it ends a write lane once no Poll is inside a copy for it.
//
// Threads: any, as ServerTransport says. Owns none.
// Bounds:  one ring a lane, paid for as far as it is used; a copy is at most
//          kShmPieceBytesMax; kShmRegionsMax regions.
class ShmServer {
 public:
  struct Options {
    // Where the socket goes; made with mode 0700 if missing. Empty: DefaultShmDirectory.
    std::string directory;
    // May connect besides root and the server's own user. With any, the directory needs
    // mode 0711.
    std::vector<uint32_t> allowed_uids;
    uint64_t ring_bytes = 8 * kMiB;  // kShmRingBytesMin to kShmRingBytesMax
    size_t loops = 1;                // 1 to 16; a lane belongs to one of them
    std::chrono::milliseconds offer_ttl{10'000};
  };

  // `gate` and `clock` are not owned and must outlive the transport. InvalidArgument for
  // options out of range; PermissionDenied, FailedPrecondition if the directory is not
  // fit; other codes if the system refuses.
  static absl::StatusOr<std::unique_ptr<ServerTransport>> Create(const Options& options,
                                                                 Gate* gate,
                                                                 const Clock* clock);
};

struct ShmPeerRule {
  uint32_t own_uid = 0;
  std::span<const uint32_t> allowed_uids;
};
// Whether a process of user `uid` may connect: the server's user, root, or one allowed.
bool MayConnectShm(uint32_t uid, const ShmPeerRule& rule);

}  // namespace kvasir

#endif  // KVASIR_RDMA_SHM_SERVER_H_
