#include "rdma/tcp_send_queue.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

namespace kvasir {
namespace {

// What a failed nonblocking call asks for.
bool IsForNow(int error) { return error == EAGAIN || error == EINTR; }

// As much of header and payload as the socket takes, after the first `skip_bytes` of
// both. -1 with errno.
ssize_t SendAfter(int fd, uint64_t skip_bytes, std::span<std::byte> header,
                  std::span<std::byte> payload) {
  iovec parts[2];
  size_t count = 0;
  if (skip_bytes < header.size()) {
    const std::span<std::byte> rest = header.subspan(skip_bytes);
    parts[count++] = {.iov_base = rest.data(), .iov_len = rest.size()};
  }
  parts[count++] = {.iov_base = payload.data(), .iov_len = payload.size()};
  const msghdr message = {.msg_iov = parts, .msg_iovlen = count};
  return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

void TcpSendQueue::AddFrame(std::string_view frame) {
  absl::MutexLock lock(&mu_);
  queued_frame_bytes_ += frame.size();
  // Frames in a row leave in one call.
  if (!items_.empty() && !items_.back().frames.empty()) {
    items_.back().frames.append(frame);
  } else {
    items_.push_back({.frames = std::string(frame)});
  }
}

bool TcpSendQueue::AddBlocks(std::vector<Block> blocks) {
  absl::MutexLock lock(&mu_);
  if (broken_ || blocks.size() > kTcpQueuedBlocksMax - queued_blocks_) return false;
  queued_blocks_ += blocks.size();
  for (Block& block : blocks) items_.push_back({.block = std::move(block)});
  return true;
}

bool TcpSendQueue::HasRoom() {
  absl::MutexLock lock(&mu_);
  room_wanted_ = !HasRoomLocked();
  return !room_wanted_;
}

bool TcpSendQueue::TakeRoomMade() {
  absl::MutexLock lock(&mu_);
  return std::exchange(room_made_, false);
}

bool TcpSendQueue::HasRoomLocked() const {
  return queued_blocks_ < kTcpQueuedBlocksMax &&
         queued_frame_bytes_ < kTcpQueuedFrameBytesMax;
}

TcpSendQueue::Result TcpSendQueue::Flush(uint64_t budget_bytes) {
  if (!Claim()) return Result::kIdle;
  while (true) {
    const Result result = Drain(budget_bytes);
    if (Release(result)) return result;
  }
}

bool TcpSendQueue::empty() const {
  absl::MutexLock lock(&mu_);
  return items_.empty() && !item_under_way_;
}

bool TcpSendQueue::Claim() {
  absl::MutexLock lock(&mu_);
  if (claimed_) {
    again_ = true;
    return false;
  }
  claimed_ = true;
  again_ = false;
  return true;
}

bool TcpSendQueue::Release(Result result) {
  absl::MutexLock lock(&mu_);
  // Who left word may have brought items, or the news that the socket has room again.
  const bool more = std::exchange(again_, false);
  if (more && (result == Result::kIdle || result == Result::kBlocked)) return false;
  claimed_ = false;
  if (result == Result::kBroken) broken_ = true;
  return true;
}

TcpSendQueue::Result TcpSendQueue::Drain(uint64_t budget_bytes) {
  while (current_.has_value() || TakeNext()) {
    if (budget_bytes == 0) return Result::kMore;
    switch (current_->item.frames.empty() ? SendPiece(&budget_bytes)
                                          : SendFrames(&budget_bytes)) {
      case Step::kDone: current_.reset(); break;
      case Step::kMore: break;
      case Step::kBlocked: return Result::kBlocked;
      case Step::kBroken: shutdown(fd_, SHUT_RDWR); return Result::kBroken;
    }
  }
  return Result::kIdle;
}

bool TcpSendQueue::TakeNext() {
  absl::MutexLock lock(&mu_);
  item_under_way_ = !items_.empty() && !broken_;
  if (!item_under_way_) return false;
  current_ = Current{.item = std::move(items_.front()), .header = {}};
  items_.pop_front();
  if (current_->item.frames.empty()) {
    --queued_blocks_;
  } else {
    queued_frame_bytes_ -= current_->item.frames.size();
  }
  if (room_wanted_ && HasRoomLocked()) {
    room_wanted_ = false;
    room_made_ = true;
  }
  return true;
}

TcpSendQueue::Step TcpSendQueue::SendFrames(uint64_t* budget_bytes) {
  const std::string& frames = current_->item.frames;
  const ssize_t sent = send(fd_, frames.data() + current_->sent_bytes,
                            frames.size() - current_->sent_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return IsForNow(errno) ? Step::kBlocked : Step::kBroken;
  current_->sent_bytes += static_cast<uint64_t>(sent);
  *budget_bytes -= std::min<uint64_t>(*budget_bytes, static_cast<uint64_t>(sent));
  return current_->sent_bytes == frames.size() ? Step::kDone : Step::kMore;
}

void TcpSendQueue::OpenPiece() {
  const Block& block = current_->item.block;
  current_->piece_bytes = std::min(block.length_bytes, kTcpPieceBytes);
  current_->sent_bytes = 0;
  EncodeFrameHeader({.type = FrameType::kData,
                     .tag = block.tag,
                     .lease = block.lease,
                     .offset_bytes = block.offset_bytes,
                     .length_bytes = current_->piece_bytes},
                    current_->header);
}

TcpSendQueue::Step TcpSendQueue::SendPiece(uint64_t* budget_bytes) {
  if (current_->piece_bytes == 0) OpenPiece();
  Current& current = *current_;
  Block& block = current.item.block;
  const uint64_t done =
      current.sent_bytes - std::min<uint64_t>(current.sent_bytes, kFrameHeaderBytes);
  ssize_t sent = 0;
  int error = 0;
  const absl::Status admitted = gate_->Admit(
      block.lane.session, block.lane.lane, block.sealed, Access::kRead,
      block.offset_bytes + done, current.piece_bytes - done, [&](std::span<std::byte> bytes) {
        sent = SendAfter(fd_, current.sent_bytes, current.header, bytes);
        error = errno;
        return absl::OkStatus();
      });
  if (!admitted.ok()) return Refuse(admitted);
  if (sent < 0) return IsForNow(error) ? Step::kBlocked : Step::kBroken;
  current.sent_bytes += static_cast<uint64_t>(sent);
  *budget_bytes -= std::min<uint64_t>(*budget_bytes, static_cast<uint64_t>(sent));
  if (current.sent_bytes < kFrameHeaderBytes + current.piece_bytes) return Step::kMore;
  TcpCounters::Add(counters_->read_bytes, current.piece_bytes);
  block.offset_bytes += current.piece_bytes;
  block.length_bytes -= current.piece_bytes;
  current.piece_bytes = 0;
  if (block.length_bytes > 0) return Step::kMore;
  TcpCounters::Add(counters_->read_ops, 1);
  return Step::kDone;
}

TcpSendQueue::Step TcpSendQueue::Refuse(const absl::Status& status) {
  TcpCounters::Add(counters_->refused_frames, 1);
  // The peer counts on the rest of a piece that has begun: nothing else fits here.
  if (current_->sent_bytes > 0) return Step::kBroken;
  const Block& block = current_->item.block;
  current_->item.frames = EncodeErrorFrame(block.tag, block.lease, status);
  return Step::kMore;
}

}  // namespace kvasir
