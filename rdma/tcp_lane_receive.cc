#include "rdma/tcp_lane_receive.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

namespace kvasir {
namespace {

absl::Status PeerGone() { return absl::UnavailableError("receive: server closed the lane"); }

absl::Status NotAnAnswer(const FrameHeader& head) {
  return absl::UnavailableError(
      fmt::format("receive: frame type {} with tag {} answers nothing",
                  static_cast<int>(head.type), head.tag));
}

}  // namespace

void TcpLaneReceiver::Begin(std::span<TcpMove> moves) {
  moves_ = moves;
  next_ = 0;
  move_done_bytes_ = 0;
  payload_left_bytes_ = 0;
  meta_left_bytes_ = 0;
}

TcpProgress TcpLaneReceiver::Step() {
  if (payload_left_bytes_ > 0) {
    return moves_[next_].skipped ? DropPayload() : ReceivePayload();
  }
  if (meta_left_bytes_ > 0) return ReceiveMeta();
  if (next_ == moves_.size()) return TcpProgress::kDone;
  return ReceiveHead();
}

TcpProgress TcpLaneReceiver::Receive(std::span<iovec> parts, uint64_t* received) {
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  const ssize_t got = recvmsg(fd_, &message, MSG_DONTWAIT);
  if (got <= 0) return NothingReceived(got);
  *received = static_cast<uint64_t>(got);
  return TcpProgress::kMoved;
}

TcpProgress TcpLaneReceiver::NothingReceived(ssize_t result) {
  if (result == 0 || (errno != EAGAIN && errno != EINTR)) return Break(PeerGone());
  threshold_.Set(payload_left_bytes_);
  return TcpProgress::kBlocked;
}

TcpProgress TcpLaneReceiver::Break(const absl::Status& status) {
  error_ = status;
  return TcpProgress::kBroken;
}

TcpProgress TcpLaneReceiver::ReceiveHead() {
  if (header_have_bytes_ < kFrameHeaderBytes) {
    const std::span<std::byte> rest = std::span(header_bytes_).subspan(header_have_bytes_);
    iovec part = {.iov_base = rest.data(), .iov_len = rest.size()};
    uint64_t received = 0;
    const TcpProgress progress = Receive({&part, 1}, &received);
    if (progress != TcpProgress::kMoved) return progress;
    header_have_bytes_ += received;
    if (header_have_bytes_ < kFrameHeaderBytes) return TcpProgress::kMoved;
  }
  return TakeHead();
}

TcpProgress TcpLaneReceiver::TakeHead() {
  header_have_bytes_ = 0;
  const absl::StatusOr<FrameHeader> head = DecodeFrameHeader(header_bytes_);
  if (!head.ok()) return Break(absl::UnavailableError(head.status().message()));
  head_ = *head;
  TcpMove& move = moves_[next_];
  if (head_.type == FrameType::kError) {
    meta_have_bytes_ = 0;
    meta_left_bytes_ = head_.meta_bytes;
    return meta_left_bytes_ == 0 ? TakeError() : TcpProgress::kMoved;
  }
  if (!Answers(move)) return Break(NotAnAnswer(head_));
  if (head_.type == FrameType::kAck) {
    Settle(absl::OkStatus());
    return TcpProgress::kMoved;
  }
  if (!DataFits(move)) return Break(NotAnAnswer(head_));
  if (move_done_bytes_ == 0) {
    cursor_ = ScatterCursor(move.transfer->local);
    checksummer_.Reset(move.transfer->checksum_seed);
  }
  payload_left_bytes_ = head_.length_bytes;
  return TcpProgress::kMoved;
}

bool TcpLaneReceiver::Answers(const TcpMove& move) const {
  if (head_.tag != move.tag) return false;
  const bool reads = move.transfer->token.access == Access::kRead;
  if (head_.type == FrameType::kError) {
    return move.tag != kNoTag || head_.lease == move.transfer->token.lease;
  }
  return head_.type == (reads ? FrameType::kData : FrameType::kAck) &&
         (move.tag != kNoTag || head_.lease == move.transfer->token.lease);
}

bool TcpLaneReceiver::DataFits(const TcpMove& move) const {
  return head_.offset_bytes == move_done_bytes_ &&
         head_.length_bytes <= move.transfer->token.extent.size_bytes - move_done_bytes_;
}

TcpProgress TcpLaneReceiver::ReceiveMeta() {
  iovec part = {.iov_base = meta_.data() + meta_have_bytes_, .iov_len = meta_left_bytes_};
  uint64_t received = 0;
  const TcpProgress progress = Receive({&part, 1}, &received);
  if (progress != TcpProgress::kMoved) return progress;
  meta_have_bytes_ += received;
  meta_left_bytes_ -= received;
  return meta_left_bytes_ == 0 ? TakeError() : TcpProgress::kMoved;
}

TcpProgress TcpLaneReceiver::TakeError() {
  const absl::Status said =
      StatusOfErrorFrame(head_, std::string_view(meta_.data(), head_.meta_bytes));
  if (!Answers(moves_[next_])) return Break(absl::UnavailableError(said.message()));
  Settle(said);
  return TcpProgress::kMoved;
}

TcpProgress TcpLaneReceiver::ReceivePayload() {
  std::array<iovec, kTcpClientSlicesMax + 1> parts;
  uint64_t wanted = 0;
  size_t count = cursor_.Gather(std::span(parts).first(kTcpClientSlicesMax),
                                std::min(payload_left_bytes_, kTcpClientPieceBytes), &wanted);
  const size_t slices = count;
  if (wanted == payload_left_bytes_) {
    parts[count++] = {.iov_base = header_bytes_.data(), .iov_len = header_bytes_.size()};
  }
  uint64_t received = 0;
  const TcpProgress progress = Receive(std::span(parts).first(count), &received);
  if (progress != TcpProgress::kMoved) return progress;
  const uint64_t payload = std::min(received, wanted);
  header_have_bytes_ = received - payload;
  uint64_t to_hash = moves_[next_].transfer->want_checksum ? payload : 0;
  for (size_t i = 0; i < slices && to_hash > 0; ++i) {
    const uint64_t bytes = std::min<uint64_t>(to_hash, parts[i].iov_len);
    checksummer_.Update({static_cast<const std::byte*>(parts[i].iov_base), bytes});
    to_hash -= bytes;
  }
  cursor_.Advance(payload);
  TookPayload(payload);
  return TcpProgress::kMoved;
}

TcpProgress TcpLaneReceiver::DropPayload() {
  // For tcp(7), MSG_TRUNC drops the bytes instead of copying them.
  const ssize_t got = recv(fd_, nullptr, payload_left_bytes_, MSG_DONTWAIT | MSG_TRUNC);
  if (got <= 0) return NothingReceived(got);
  TookPayload(static_cast<uint64_t>(got));
  return TcpProgress::kMoved;
}

void TcpLaneReceiver::TookPayload(uint64_t bytes) {
  payload_left_bytes_ -= bytes;
  move_done_bytes_ += bytes;
  Transfer& transfer = *moves_[next_].transfer;
  if (move_done_bytes_ < transfer.token.extent.size_bytes) return;
  if (transfer.want_checksum) transfer.checksum = checksummer_.Finish();
  Settle(absl::OkStatus());
}

void TcpLaneReceiver::Settle(const absl::Status& status) {
  TcpMove& move = moves_[next_++];
  move_done_bytes_ = 0;
  // What was wrong before anything moved stays wrong.
  if (!move.settled) move.transfer->status = status;
  move.settled = true;
}

}  // namespace kvasir
