#ifndef KVASIR_RDMA_TCP_SOCKET_H_
#define KVASIR_RDMA_TCP_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fd.h"

// What the tcp transport needs of the sockets API: addresses, and nonblocking sockets
// that are tuned for lanes.
namespace kvasir {

struct HostPort {
  std::string host;  // a name or address; empty: every interface, or not known
  uint16_t port = 0;

  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// "host:port", "[v6 address]:port" or ":port". InvalidArgument for anything else.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);
std::string FormatHostPort(const HostPort& address);

struct SocketOptions {
  // SO_SNDBUF and SO_RCVBUF; 0 leaves them to the kernel, which grows them as needed.
  int send_buffer_bytes = 0;
  int receive_buffer_bytes = 0;
};

// A nonblocking listener. NotFound if the host has no address; the error of bind(2)
// otherwise, with the address.
absl::StatusOr<UniqueFd> ListenTcp(const HostPort& address, const SocketOptions& options);
// The address that the socket is bound to, in digits.
absl::StatusOr<HostPort> LocalAddress(int fd);

// A nonblocking connection, tuned as below. Unavailable if nobody listens there or the
// host is unknown; DeadlineExceeded.
absl::StatusOr<UniqueFd> ConnectTcp(const HostPort& address, const SocketOptions& options,
                                    const Clock* clock, Instant deadline);
// Small frames leave at once (TCP_NODELAY), and buffers are as asked for.
absl::Status TuneLaneSocket(int fd, const SocketOptions& options);
// For a connection that has been made. One within this host has no path to probe and no
// queue to keep short, so it gets the congestion control that does least, reno: where the
// system's default is bbr, pacing cost a third of the speed. Others keep the default, and
// so does one that the kernel refuses it.
void TuneConnection(int fd);

// Says how many bytes the next wait for `fd` to become readable is for (SO_RCVLOWAT), so
// that a long payload wakes its reader a few times a megabyte, not at every segment.
// Measured on loopback with 1 MiB blocks: gets gained 40 %, puts doubled.
class ReceiveThreshold {
 public:
  explicit ReceiveThreshold(int fd) : fd_(fd) {}
  // At least `bytes` are still to come from the peer, whatever it does but hang up.
  // Waits for these, or for kTcpThresholdBytes if that is less; 0: for anything.
  void Set(uint64_t bytes);

 private:
  const int fd_;
  int current_bytes_ = 1;
};
inline constexpr uint64_t kTcpThresholdBytes = 256 * 1024;

// Waits until `fd` has one of `events` (poll(2)), an error or a hang-up.
// DeadlineExceeded.
absl::Status AwaitSocket(int fd, short events, const Clock* clock, Instant deadline);

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_SOCKET_H_
