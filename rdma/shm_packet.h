#ifndef KVASIR_RDMA_SHM_PACKET_H_
#define KVASIR_RDMA_SHM_PACKET_H_

#include <sys/types.h>

#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fd.h"

// Packets and descriptors over a connected SOCK_SEQPACKET unix socket. Nothing here
// raises SIGPIPE or keeps a descriptor that came unasked.
namespace kvasir {

// Sends `packet`, with copies of `fds`, without waiting. Unavailable if the peer is gone
// or has left so much unread that the socket is full.
absl::Status SendShmPacket(int socket, std::string_view packet,
                           std::span<const int> fds = {});

// The next packet, in `buffer`, without waiting; empty if there is none yet. Descriptors
// that came with it are appended to `fds`; where that is null, the kernel drops them.
// Unavailable if the peer hung up; InvalidArgument if the packet is longer than `buffer`;
// ResourceExhausted if this process has no room for the descriptors.
absl::StatusOr<std::string_view> ReceiveShmPacket(int socket, std::span<char> buffer,
                                                  std::vector<UniqueFd>* fds = nullptr);

// Waits until the socket has something to read, a hang-up included. DeadlineExceeded
// once `clock` says so.
absl::Status AwaitShmPacket(int socket, const Clock* clock, Instant deadline);

// Whether the peer has shut its end down, or this process has. Never waits.
bool ShmPeerGone(int socket);

// The effective user of the peer as it was when it connected.
absl::StatusOr<uid_t> ShmPeerUid(int socket);

}  // namespace kvasir

#endif  // KVASIR_RDMA_SHM_PACKET_H_
