#include "rdma/tcp_lane_send.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace kvasir {
namespace {

constexpr size_t kHeadsBytesMax = 64 * 1024;

}  // namespace

void TcpLaneSender::Begin(std::span<TcpMove> moves) {
  moves_ = moves;
  next_ = 0;
  heads_.clear();
  heads_sent_bytes_ = 0;
  write_ = nullptr;
  payload_left_bytes_ = 0;
  piece_left_bytes_ = 0;
}

TcpProgress TcpLaneSender::Step() {
  if (heads_sent_bytes_ == heads_.size() && payload_left_bytes_ == 0) Refill();
  if (payload_left_bytes_ > 0 && piece_left_bytes_ == 0) OpenPiece();
  std::array<iovec, 1 + kTcpClientSlicesMax> parts;
  size_t count = 0;
  if (heads_sent_bytes_ < heads_.size()) {
    parts[count++] = {.iov_base = heads_.data() + heads_sent_bytes_,
                      .iov_len = heads_.size() - heads_sent_bytes_};
  }
  uint64_t payload_bytes = 0;
  count += payload_.Gather(std::span(parts).subspan(count), piece_left_bytes_, &payload_bytes);
  if (count == 0) return TcpProgress::kDone;
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = count;
  const ssize_t sent = sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    return errno == EAGAIN || errno == EINTR ? TcpProgress::kBlocked : TcpProgress::kBroken;
  }
  Advance(static_cast<uint64_t>(sent));
  return TcpProgress::kMoved;
}

void TcpLaneSender::Refill() {
  heads_.clear();
  heads_sent_bytes_ = 0;
  payload_ = ScatterCursor();
  while (next_ < moves_.size() && heads_.size() < kHeadsBytesMax) {
    TcpMove& move = moves_[next_++];
    if (move.tag == kNoTag) continue;
    AppendHead(move);
    if (move.transfer->token.access == Access::kRead) continue;
    write_ = &move;
    payload_ = ScatterCursor(move.transfer->local);
    payload_left_bytes_ = move.transfer->token.extent.size_bytes;
    checksummer_.Reset(move.transfer->checksum_seed);
    return;
  }
}

void TcpLaneSender::AppendHead(const TcpMove& move) {
  const Token& token = move.transfer->token;
  AppendFrameHead(
      {.type = token.access == Access::kRead ? FrameType::kRead : FrameType::kWrite,
       .tag = move.tag,
       .meta_bytes = static_cast<uint32_t>(token.sealed.size()),
       .lease = token.lease,
       .length_bytes = token.extent.size_bytes},
      token.sealed, &heads_);
}

void TcpLaneSender::OpenPiece() {
  std::array<iovec, kTcpClientSlicesMax> parts;
  const size_t count = payload_.Gather(
      parts, std::min(payload_left_bytes_, kTcpClientPieceBytes), &piece_left_bytes_);
  Transfer& transfer = *write_->transfer;
  if (!transfer.want_checksum) return;
  for (size_t i = 0; i < count; ++i) {
    checksummer_.Update({static_cast<const std::byte*>(parts[i].iov_base), parts[i].iov_len});
  }
  if (piece_left_bytes_ == payload_left_bytes_) transfer.checksum = checksummer_.Finish();
}

void TcpLaneSender::Advance(uint64_t sent_bytes) {
  const uint64_t of_heads =
      std::min<uint64_t>(sent_bytes, heads_.size() - heads_sent_bytes_);
  heads_sent_bytes_ += of_heads;
  const uint64_t of_payload = sent_bytes - of_heads;
  payload_.Advance(of_payload);
  payload_left_bytes_ -= of_payload;
  piece_left_bytes_ -= of_payload;
}

}  // namespace kvasir
