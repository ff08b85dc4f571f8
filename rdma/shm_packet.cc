#include "rdma/shm_packet.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/check.h"
#include "rdma/shm_wire.h"

namespace kvasir {
namespace {

constexpr size_t kFdsMax = 1 + kShmRegionsMax;
// How long a wait may go without looking at the clock, which a test may move by hand.
constexpr std::chrono::milliseconds kWaitStep{50};

struct ControlBuffer {
  alignas(cmsghdr) char bytes[CMSG_SPACE(kFdsMax * sizeof(int))];
};

void AttachFds(std::span<const int> fds, ControlBuffer* control, msghdr* message) {
  if (fds.empty()) return;
  KV_CHECK(fds.size() <= kFdsMax);
  message->msg_control = control->bytes;
  message->msg_controllen = CMSG_SPACE(fds.size_bytes());
  cmsghdr* const header = CMSG_FIRSTHDR(message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(fds.size_bytes());
  std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
}

void CollectFds(msghdr* message, std::vector<UniqueFd>* fds) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      fds->emplace_back(fd);
    }
  }
}

}  // namespace

absl::Status SendShmPacket(int socket, std::string_view packet,
                           std::span<const int> fds) {
  iovec data{const_cast<char*>(packet.data()), packet.size()};
  ControlBuffer control;
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  AttachFds(fds, &control, &message);
  ssize_t sent = -1;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return absl::OkStatus();
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    return absl::UnavailableError("shm: the peer does not read its socket");
  }
  return ErrnoStatus(errno, "shm: send");
}

absl::StatusOr<std::string_view> ReceiveShmPacket(int socket, std::span<char> buffer,
                                                  std::vector<UniqueFd>* fds) {
  iovec data{buffer.data(), buffer.size()};
  ControlBuffer control;
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (fds != nullptr) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof(control.bytes);
  }
  ssize_t got = -1;
  do {
    got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::string_view();
    return ErrnoStatus(errno, "shm: receive");
  }
  if (fds != nullptr) CollectFds(&message, fds);
  if (got == 0) return absl::UnavailableError("shm: the peer hung up");
  if ((message.msg_flags & MSG_TRUNC) != 0) {
    return absl::InvalidArgumentError("shm: oversized packet");
  }
  if (fds != nullptr && (message.msg_flags & MSG_CTRUNC) != 0) {
    return absl::ResourceExhaustedError("shm: no room for the descriptors received");
  }
  return std::string_view(buffer.data(), static_cast<size_t>(got));
}

absl::Status AwaitShmPacket(int socket, const Clock* clock, Instant deadline) {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - clock->Now());
    if (left.count() <= 0) return absl::DeadlineExceededError("shm: no answer in time");
    pollfd waited{socket, POLLIN, 0};
    const int ready =
        poll(&waited, 1, static_cast<int>(std::min(left, kWaitStep).count()));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "shm: wait");
  }
}

bool ShmPeerGone(int socket) {
  pollfd looked{socket, POLLRDHUP, 0};
  // An error of poll itself (it has no lawful one here) must not pass for "alive".
  return poll(&looked, 1, 0) != 0;
}

absl::StatusOr<uid_t> ShmPeerUid(int socket) {
  ucred peer{};
  socklen_t peer_bytes = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) != 0) {
    return ErrnoStatus(errno, "shm: ask who the peer is");
  }
  return peer.uid;
}

}  // namespace kvasir
