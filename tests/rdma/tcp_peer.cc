#include "tests/rdma/tcp_peer.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "rdma/tcp_socket.h"

namespace kvasir {
namespace {

// Far beyond what anything takes; a test that waits so long has failed.
constexpr std::chrono::seconds kPatience{30};

Instant Patience() { return Clock::Real()->Now() + kPatience; }

}  // namespace

std::pair<UniqueFd, UniqueFd> TcpPair() {
  const auto listener = ListenTcp({.host = "127.0.0.1"}, {});
  KV_CHECK(listener.ok());
  auto client = ConnectTcp(*LocalAddress(listener->get()), {}, Clock::Real(), Patience());
  KV_CHECK(client.ok());
  UniqueFd server(accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  KV_CHECK(server.valid());
  return {*std::move(client), std::move(server)};
}

std::string FrameOf(FrameHeader head, std::string_view meta, std::string_view payload) {
  head.meta_bytes = static_cast<uint32_t>(meta.size());
  std::string frame;
  AppendFrameHead(head, meta, &frame);
  return frame.append(payload);
}

TcpPeer TcpPeer::ConnectTo(const std::string& address) {
  auto fd = ConnectTcp(*ParseHostPort(address), {}, Clock::Real(), Patience());
  KV_CHECK(fd.ok());
  return TcpPeer(*std::move(fd));
}

void TcpPeer::Send(std::string_view bytes, Crank crank) {
  const Instant deadline = Patience();
  while (!bytes.empty() && Clock::Real()->Now() < deadline) {
    const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      crank();
    } else {
      return;
    }
  }
}

bool TcpPeer::Fill(std::string* to, size_t bytes, Crank crank) {
  const Instant deadline = Patience();
  to->clear();
  while (to->size() < bytes && Clock::Real()->Now() < deadline) {
    const size_t had = to->size();
    to->resize(bytes);
    const ssize_t got = recv(fd_.get(), to->data() + had, bytes - had, MSG_DONTWAIT);
    to->resize(had + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
    if (got < 0) crank();
  }
  return to->size() == bytes;
}

std::optional<TcpPeer::Frame> TcpPeer::Receive(Crank crank) {
  std::string bytes;
  if (!Fill(&bytes, kFrameHeaderBytes, crank)) return std::nullopt;
  const absl::StatusOr<FrameHeader> head =
      DecodeFrameHeader(AsBytes(bytes).first<kFrameHeaderBytes>());
  if (!head.ok()) return std::nullopt;
  Frame frame{.head = *head};
  if (!Fill(&frame.meta, head->meta_bytes, crank)) return std::nullopt;
  const size_t payload_bytes = HasPayload(head->type) ? head->length_bytes : 0;
  if (!Fill(&frame.payload, payload_bytes, crank)) return std::nullopt;
  return frame;
}

bool TcpPeer::WaitForEnd(Crank crank) {
  const Instant deadline = Patience();
  char drain[4096];
  while (Clock::Real()->Now() < deadline) {
    const ssize_t got = recv(fd_.get(), drain, sizeof(drain), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return true;
    if (got < 0) crank();
  }
  return false;
}

void TcpPeer::EndSending() { shutdown(fd_.get(), SHUT_WR); }

bool TcpPeer::Quiet() {
  char byte;
  return recv(fd_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

}  // namespace kvasir
