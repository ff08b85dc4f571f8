#include "rdma/tcp_lane.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "base/limits.h"

namespace kvasir {
namespace {

absl::Status SizesDiffer(const Transfer& transfer) {
  return absl::InvalidArgumentError(
      fmt::format("move: slices of {} bytes for a block of {}", ScatterBytes(transfer.local),
                  transfer.token.extent.size_bytes));
}

// Whether a push of this block is wanted, or a request can be made for it.
absl::Status CheckTransfer(const Transfer& transfer) {
  const uint64_t size_bytes = transfer.token.extent.size_bytes;
  if (size_bytes == 0 || size_bytes > kMaxBlockBytes ||
      ScatterBytes(transfer.local) != size_bytes) {
    return SizesDiffer(transfer);
  }
  if (transfer.token.sealed.size() > kFrameMetaBytesMax) {
    return absl::PermissionDeniedError("move: not a token");
  }
  return absl::OkStatus();
}

absl::Status SendAll(int fd, std::string_view bytes) {
  // A connection that has just been made has room for a frame.
  const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent == static_cast<ssize_t>(bytes.size())) return absl::OkStatus();
  return absl::UnavailableError("attach lane: server closed the connection");
}

absl::Status ReceiveAll(int fd, std::span<std::byte> to, const Clock* clock,
                        Instant deadline) {
  while (!to.empty()) {
    const ssize_t got = recv(fd, to.data(), to.size(), MSG_DONTWAIT);
    if (got > 0) {
      to = to.subspan(static_cast<size_t>(got));
    } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      const absl::Status ready = AwaitSocket(fd, POLLIN, clock, deadline);
      if (!ready.ok()) return ready;
    } else {
      return absl::UnavailableError("attach lane: server closed the connection");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status TcpLane::Attach(const TcpNonce& nonce, Instant deadline) {
  std::string frame;
  AppendFrameHead({.type = FrameType::kAttach, .meta_bytes = kFrameNonceBytes},
                  {reinterpret_cast<const char*>(nonce.data()), nonce.size()}, &frame);
  if (absl::Status sent = SendAll(fd_.get(), frame); !sent.ok()) return sent;
  std::array<std::byte, kFrameHeaderBytes> bytes;
  absl::Status received = ReceiveAll(fd_.get(), bytes, clock_, deadline);
  if (!received.ok()) return received;
  const absl::StatusOr<FrameHeader> head = DecodeFrameHeader(bytes);
  if (!head.ok()) return absl::UnavailableError(head.status().message());
  if (head->type == FrameType::kAck) return absl::OkStatus();
  return absl::PermissionDeniedError("attach lane: refused by the server");
}

void TcpLane::Run(std::span<Transfer> batch, Instant deadline) {
  Plan(batch);
  if (!usable()) return Abandon(absl::UnavailableError("run: the lane is closed"));
  sender_.Begin(moves_);
  receiver_.Begin(moves_);
  if (absl::Status status = Exchange(deadline); !status.ok()) return Abandon(status);
  // A server that fenced this lane's writes says so, and will take none again.
  for (const TcpMove& move : moves_) {
    if (absl::IsUnavailable(move.transfer->status)) return fd_.reset();
  }
}

void TcpLane::Plan(std::span<Transfer> batch) {
  moves_.clear();
  // Pushed blocks come first: the server began to send them with the grant.
  for (Transfer& transfer : batch) {
    if (transfer.token.pushed) PlanOne(&transfer);
  }
  for (Transfer& transfer : batch) {
    if (!transfer.token.pushed) PlanOne(&transfer);
  }
}

void TcpLane::PlanOne(Transfer* transfer) {
  const bool pushed = transfer->token.pushed;
  const bool skipped = pushed && transfer->local.empty();
  const absl::Status status = skipped ? absl::OkStatus() : CheckTransfer(*transfer);
  transfer->status = status;
  // The bytes of a pushed block come whether they fit or not.
  if (!status.ok() && !pushed) return;
  moves_.push_back({.transfer = transfer,
                    .tag = pushed ? kNoTag : next_tag_,
                    .skipped = skipped || !status.ok(),
                    .settled = !status.ok()});
  if (!pushed && ++next_tag_ == kNoTag) ++next_tag_;
}

absl::Status TcpLane::Exchange(Instant deadline) {
  TcpProgress sent = TcpProgress::kMoved;
  TcpProgress received = TcpProgress::kMoved;
  while (true) {
    if (clock_->Now() >= deadline) return absl::DeadlineExceededError("run: deadline");
    if (sent != TcpProgress::kDone) sent = sender_.Step();
    // A server that ends the connection may have said why.
    received = receiver_.Step();
    if (received == TcpProgress::kBroken) return receiver_.error();
    if (sent == TcpProgress::kBroken && received != TcpProgress::kMoved) {
      return absl::UnavailableError("send: server closed the lane");
    }
    if (sent == TcpProgress::kDone && received == TcpProgress::kDone) {
      return absl::OkStatus();
    }
    if (sent == TcpProgress::kMoved || received == TcpProgress::kMoved) continue;
    const bool to_send = sent == TcpProgress::kBlocked;
    const bool to_receive = received == TcpProgress::kBlocked;
    const short events = static_cast<short>((to_send ? POLLOUT : 0) | (to_receive ? POLLIN : 0));
    const absl::Status ready = AwaitSocket(fd_.get(), events, clock_, deadline);
    if (absl::IsDeadlineExceeded(ready)) return absl::DeadlineExceededError("run: deadline");
    if (!ready.ok()) return absl::UnavailableError(ready.message());
  }
}

void TcpLane::Abandon(const absl::Status& status) {
  for (TcpMove& move : moves_) {
    if (!move.settled) move.transfer->status = status;
  }
  // Whatever the kernel still holds of this batch goes with the socket.
  fd_.reset();
}

}  // namespace kvasir
