#include "rdma/tcp_socket.h"

#include <fmt/core.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <ctime>
#include <memory>

namespace kvasir {
namespace {

constexpr int kListenBacklog = 512;

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::Status NotAnAddress(std::string_view text) {
  return absl::InvalidArgumentError(
      fmt::format("parse address: \"{}\" is not host:port", text));
}

absl::StatusOr<AddressList> Resolve(const HostPort& address, int flags) {
  const addrinfo hints = {.ai_flags = flags | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(address.host.empty() ? nullptr : address.host.c_str(),
                  std::to_string(address.port).c_str(), &hints, &found);
  AddressList list(found, &freeaddrinfo);
  if (error != 0) {
    return absl::NotFoundError(
        fmt::format("resolve {}: {}", FormatHostPort(address), gai_strerror(error)));
  }
  return list;
}

absl::StatusOr<UniqueFd> MakeSocket(const addrinfo& address) {
  UniqueFd fd(socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "make socket");
  return fd;
}

absl::Status SetOption(int fd, int level, int name, int value, std::string_view what) {
  if (setsockopt(fd, level, name, &value, sizeof(value)) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, what);
}

absl::Status SetBuffers(int fd, const SocketOptions& options) {
  absl::Status status;
  if (options.send_buffer_bytes > 0) {
    status.Update(SetOption(fd, SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes,
                            "set send buffer"));
  }
  if (options.receive_buffer_bytes > 0) {
    status.Update(SetOption(fd, SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes,
                            "set receive buffer"));
  }
  return status;
}

absl::StatusOr<UniqueFd> ListenAt(const addrinfo& address, const SocketOptions& options,
                                  std::string_view what) {
  absl::StatusOr<UniqueFd> fd = MakeSocket(address);
  if (!fd.ok()) return fd;
  absl::Status status = SetOption(fd->get(), SOL_SOCKET, SO_REUSEADDR, 1, what);
  // Accepted sockets inherit the buffers: the window is settled in the handshake.
  status.Update(SetBuffers(fd->get(), options));
  if (!status.ok()) return status;
  if (bind(fd->get(), address.ai_addr, address.ai_addrlen) != 0 ||
      listen(fd->get(), kListenBacklog) != 0) {
    return ErrnoStatus(errno, what);
  }
  return fd;
}

// An end of a connection without its port, as text; empty if it has none. `name` is
// getsockname or getpeername.
std::string EndOf(int fd, int (*name)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage storage;
  socklen_t size = sizeof(storage);
  auto* const address = reinterpret_cast<sockaddr*>(&storage);
  char host[NI_MAXHOST];
  if (name(fd, address, &size) != 0 ||
      getnameinfo(address, size, host, sizeof(host), nullptr, 0, NI_NUMERICHOST) != 0) {
    return "";
  }
  return host;
}

// What became of a nonblocking connect.
absl::Status ConnectResult(int fd, std::string_view what) {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error == 0) return absl::OkStatus();
  return absl::UnavailableError(ErrnoStatus(error, what).message());
}

absl::StatusOr<UniqueFd> ConnectAt(const addrinfo& address, const SocketOptions& options,
                                   const Clock* clock, Instant deadline,
                                   std::string_view what) {
  absl::StatusOr<UniqueFd> fd = MakeSocket(address);
  if (!fd.ok()) return fd;
  if (absl::Status status = TuneLaneSocket(fd->get(), options); !status.ok()) return status;
  if (connect(fd->get(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) {
      return absl::UnavailableError(ErrnoStatus(errno, what).message());
    }
    absl::Status status = AwaitSocket(fd->get(), POLLOUT, clock, deadline);
    if (status.ok()) status = ConnectResult(fd->get(), what);
    if (!status.ok()) return status;
  }
  TuneConnection(fd->get());
  return fd;
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return NotAnAddress(text);
  HostPort address;
  const std::string_view digits = text.substr(colon + 1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return NotAnAddress(text);
  }
  std::string_view host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return NotAnAddress(text);
  }
  address.host = host;
  return address;
}

std::string FormatHostPort(const HostPort& address) {
  if (address.host.find(':') != std::string::npos) {
    return fmt::format("[{}]:{}", address.host, address.port);
  }
  return fmt::format("{}:{}", address.host, address.port);
}

absl::StatusOr<UniqueFd> ListenTcp(const HostPort& address, const SocketOptions& options) {
  absl::StatusOr<AddressList> list = Resolve(address, AI_PASSIVE);
  if (!list.ok()) return list.status();
  return ListenAt(**list, options, fmt::format("listen on {}", FormatHostPort(address)));
}

absl::StatusOr<HostPort> LocalAddress(int fd) {
  sockaddr_storage storage;
  socklen_t size = sizeof(storage);
  auto* const address = reinterpret_cast<sockaddr*>(&storage);
  if (getsockname(fd, address, &size) != 0) return ErrnoStatus(errno, "get local address");
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  const int error = getnameinfo(address, size, host, sizeof(host), port, sizeof(port),
                                NI_NUMERICHOST | NI_NUMERICSERV);
  if (error != 0) {
    return absl::InternalError(fmt::format("get local address: {}", gai_strerror(error)));
  }
  return HostPort{.host = host, .port = static_cast<uint16_t>(std::stoi(port))};
}

absl::StatusOr<UniqueFd> ConnectTcp(const HostPort& address, const SocketOptions& options,
                                    const Clock* clock, Instant deadline) {
  const std::string what = fmt::format("connect to {}", FormatHostPort(address));
  absl::StatusOr<AddressList> list = Resolve(address, AI_ADDRCONFIG);
  if (!list.ok()) return absl::UnavailableError(list.status().message());
  absl::Status last = absl::UnavailableError(what);
  for (const addrinfo* at = list->get(); at != nullptr; at = at->ai_next) {
    absl::StatusOr<UniqueFd> fd = ConnectAt(*at, options, clock, deadline, what);
    if (fd.ok()) return fd;
    last = fd.status();
  }
  return last;
}

absl::Status TuneLaneSocket(int fd, const SocketOptions& options) {
  absl::Status status = SetBuffers(fd, options);
  status.Update(SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1, "set TCP_NODELAY"));
  return status;
}

void TuneConnection(int fd) {
  const std::string peer = EndOf(fd, &getpeername);
  // A host that talks to itself uses one address for both ends.
  if (peer.empty() || peer != EndOf(fd, &getsockname)) return;
  constexpr std::string_view kPlain = "reno";
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, kPlain.data(), kPlain.size());
}

void ReceiveThreshold::Set(uint64_t bytes) {
  const int wanted =
      static_cast<int>(std::clamp<uint64_t>(bytes, 1, kTcpThresholdBytes));
  if (wanted == current_bytes_) return;
  // The kernel refuses it for no tcp socket, and the next wait would try again.
  if (setsockopt(fd_, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof(wanted)) == 0) {
    current_bytes_ = wanted;
  }
}

absl::Status AwaitSocket(int fd, short events, const Clock* clock, Instant deadline) {
  while (true) {
    const auto wait = std::max(deadline - clock->Now(), BootClock::duration(0));
    const auto seconds = std::chrono::floor<std::chrono::seconds>(wait);
    const timespec timeout = {.tv_sec = seconds.count(), .tv_nsec = (wait - seconds).count()};
    pollfd entry = {.fd = fd, .events = events, .revents = 0};
    const int ready = ppoll(&entry, 1, &timeout, nullptr);
    if (ready > 0) return absl::OkStatus();
    if (ready == 0) return absl::DeadlineExceededError("wait for socket: deadline");
    if (errno != EINTR) return ErrnoStatus(errno, "wait for socket");
  }
}

}  // namespace kvasir
