#include "rdma/tcp_connection.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <utility>

#include "base/random.h"

namespace kvasir {
namespace {

// Bytes that one Work may receive, and send, before other connections have their turn.
constexpr uint64_t kWorkBudgetBytes = 4 * kMiB;
// The most that is copied under one admission.
constexpr uint64_t kAdmittedBytesMax = kMiB;
// Hashed right after it was received: it is still in the L2 cache then.
constexpr size_t kHashPieceBytes = 256 * kKiB;
// How long a peer that sent garbage may take to read why.
constexpr std::chrono::milliseconds kRejectPatience{1'000};

bool IsForNow(int error) { return error == EAGAIN || error == EINTR; }

void Spend(uint64_t* budget_bytes, uint64_t bytes) {
  *budget_bytes -= std::min(*budget_bytes, bytes);
}

}  // namespace

TcpConnection::TcpConnection(UniqueFd fd, const TcpPlace& place, const Context& context,
                             Instant patience_end)
    : fd_(std::move(fd)),
      place_(place),
      context_(context),
      threshold_(fd_.get()),
      send_queue_(fd_.get(), context.gate, context.counters),
      patience_end_(patience_end),
      unfinished_checksum_(SecureRandom64()) {}

TcpConnection::State TcpConnection::Work(Instant now) {
  uint64_t receive_budget_bytes = kWorkBudgetBytes;
  while (true) {
    const Step step = Receive(&receive_budget_bytes, now);
    if (step == Step::kDead) return State::kDead;
    if (step == Step::kWaiting) threshold_.Set(awaited_bytes());
    const TcpSendQueue::Result sent = send_queue_.Flush(kWorkBudgetBytes);
    if (sent == TcpSendQueue::Result::kBroken) return State::kDead;
    if (expect_ == Expect::kNothing && send_queue_.empty()) shutdown(fd(), SHUT_WR);
    const bool room_made = send_queue_.TakeRoomMade();
    if (step == Step::kMore || sent == TcpSendQueue::Result::kMore) return State::kReady;
    if (step == Step::kWaiting || !room_made) return State::kWaiting;
  }
}

TcpConnection::Step TcpConnection::Receive(uint64_t* budget_bytes, Instant now) {
  Step step = Step::kMore;
  while (step == Step::kMore && *budget_bytes > 0) {
    switch (expect_) {
      case Expect::kHead: step = ReceiveHead(budget_bytes, now); break;
      case Expect::kPayload: step = ReceivePayload(budget_bytes); break;
      case Expect::kDropped: step = DropPayload(budget_bytes); break;
      case Expect::kNothing: step = DropAll(budget_bytes); break;
    }
  }
  return step;
}

uint64_t TcpConnection::awaited_bytes() const {
  const bool payload = expect_ == Expect::kPayload || expect_ == Expect::kDropped;
  return payload ? head_.length_bytes - done_bytes_ : 0;
}

TcpConnection::Step TcpConnection::ReceiveHead(uint64_t* budget_bytes, Instant now) {
  const Step taken = TakeHead(now);
  if (taken != Step::kWaiting) return taken;
  // What is left is less than a head: there is room behind it once it is in front.
  const size_t rest = buffer_end_ - buffer_begin_;
  std::memmove(buffer_.data(), buffer_.data() + buffer_begin_, rest);
  buffer_begin_ = 0;
  buffer_end_ = rest;
  size_t received = 0;
  const Step step =
      ReceiveInto(std::span(buffer_).subspan(rest), /*ends_payload=*/false, &received);
  buffer_end_ += received;
  Spend(budget_bytes, received);
  return step;
}

TcpConnection::Step TcpConnection::TakeHead(Instant now) {
  const std::span<const std::byte> bytes = buffered();
  if (bytes.size() < kFrameHeaderBytes) return Step::kWaiting;
  absl::StatusOr<FrameHeader> head = DecodeFrameHeader(bytes.first<kFrameHeaderBytes>());
  if (!head.ok()) {
    Reject(head.status(), now);
    return Step::kMore;
  }
  if (bytes.size() < kFrameHeaderBytes + head->meta_bytes) return Step::kWaiting;
  if (!send_queue_.HasRoom()) return Step::kFull;
  head_ = *head;
  const std::span<const std::byte> meta = bytes.subspan(kFrameHeaderBytes, head_.meta_bytes);
  std::memcpy(sealed_.data(), meta.data(), meta.size());
  buffer_begin_ += kFrameHeaderBytes + head_.meta_bytes;
  const bool attaches = head_.type == FrameType::kAttach;
  if (attaches != !lane_.has_value()) {
    Reject(absl::InvalidArgumentError("serve connection: ATTACH must come first, and once"),
           now);
  } else if (attaches) {
    return Attach(meta, now);
  } else if (head_.type == FrameType::kRead) {
    BeginRead();
  } else if (head_.type == FrameType::kWrite) {
    BeginWrite();
  } else {
    Reject(absl::InvalidArgumentError("serve connection: clients send no such frame"), now);
  }
  return Step::kMore;
}

TcpConnection::Step TcpConnection::Attach(std::span<const std::byte> nonce, Instant now) {
  TcpNonce key;
  std::memcpy(key.data(), nonce.data(), key.size());
  const absl::StatusOr<TcpLaneTable::Attached> attached =
      context_.lanes->Attach(key, place_, &send_queue_, now);
  if (!attached.ok()) {
    Reject(attached.status(), now);
    return Step::kMore;
  }
  lane_ = attached->key;
  writes_cut_ = writes_cut_ || attached->writes_cut;
  patience_end_.reset();
  AnswerAck(LeaseId{});
  return Step::kMore;
}

void TcpConnection::BeginRead() {
  // HasRoom said that one block fits, and only a Push may have come in between.
  std::vector<TcpSendQueue::Block> blocks(1);
  blocks[0] = {.lane = *lane_,
               .tag = head_.tag,
               .lease = head_.lease,
               .sealed = std::string(sealed()),
               .offset_bytes = head_.offset_bytes,
               .length_bytes = head_.length_bytes};
  if (!send_queue_.AddBlocks(std::move(blocks))) {
    send_queue_.AddFrame(EncodeErrorFrame(
        head_.tag, head_.lease, absl::ResourceExhaustedError("read: queue is full")));
  }
}

void TcpConnection::BeginWrite() {
  done_bytes_ = 0;
  expect_ = Expect::kPayload;
  if (absl::Status status = CheckWrite(); !status.ok()) return RefuseWrite(status);
  lease_ = ReadClaims(sealed())->lease;
  context_.gate->SetObservedChecksum(lease_, unfinished_checksum_);
  checksummer_.Reset(context_.gate->ChecksumSeedOf(lease_));
}

absl::Status TcpConnection::CheckWrite() const {
  if (writes_cut_) return absl::UnavailableError("write: the lane's writes are fenced");
  absl::Status admitted = context_.gate->Admit(
      lane_->session, lane_->lane, sealed(), Access::kWrite, head_.offset_bytes,
      head_.length_bytes, [](std::span<std::byte>) { return absl::OkStatus(); });
  if (!admitted.ok()) return admitted;
  const absl::StatusOr<TokenClaims> claims = ReadClaims(sealed());
  if (!claims.ok()) return claims.status();
  // Only the checksum of a whole block means something to Commit.
  if (head_.offset_bytes == 0 && head_.length_bytes == claims->extent.size_bytes) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      fmt::format("write: {} bytes at {} are not the whole block of {}", head_.length_bytes,
                  head_.offset_bytes, claims->extent.size_bytes));
}

TcpConnection::Step TcpConnection::ReceivePayload(uint64_t* budget_bytes) {
  if (writes_cut_) {
    RefuseWrite(absl::UnavailableError("write: the lane's writes are fenced"));
    return Step::kMore;
  }
  Step step = Step::kDead;
  uint64_t copied = 0;
  const absl::Status admitted = context_.gate->Admit(
      lane_->session, lane_->lane, sealed(), Access::kWrite, done_bytes_,
      std::min(head_.length_bytes - done_bytes_, kAdmittedBytesMax),
      [&](std::span<std::byte> to) {
        step = CopyInto(to, &copied);
        return absl::OkStatus();
      });
  if (!admitted.ok()) {
    RefuseWrite(admitted);
    return Step::kMore;
  }
  done_bytes_ += copied;
  Spend(budget_bytes, copied);
  TcpCounters::Add(context_.counters->written_bytes, copied);
  if (done_bytes_ == head_.length_bytes) FinishWrite();
  return step;
}

TcpConnection::Step TcpConnection::CopyInto(std::span<std::byte> to, uint64_t* copied) {
  const uint64_t rest = head_.length_bytes - done_bytes_;
  Step step = Step::kMore;
  while (*copied < to.size() && step == Step::kMore) {
    const std::span<std::byte> piece =
        to.subspan(*copied, std::min(to.size() - *copied, kHashPieceBytes));
    size_t moved = TakeBuffered(piece);
    if (moved == 0) {
      step = ReceiveInto(piece, *copied + piece.size() == rest, &moved);
    }
    checksummer_.Update(piece.first(moved));
    *copied += moved;
  }
  return step;
}

TcpConnection::Step TcpConnection::ReceiveInto(std::span<std::byte> to, bool ends_payload,
                                               size_t* received) {
  iovec parts[2] = {{.iov_base = to.data(), .iov_len = to.size()},
                    {.iov_base = buffer_.data(), .iov_len = buffer_.size()}};
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = ends_payload ? 2 : 1;
  const ssize_t got = recvmsg(fd(), &message, MSG_DONTWAIT);
  if (got < 0) return IsForNow(errno) ? Step::kWaiting : Step::kDead;
  if (got == 0) return Step::kDead;
  *received = std::min(static_cast<size_t>(got), to.size());
  if (ends_payload) {
    buffer_begin_ = 0;
    buffer_end_ = static_cast<size_t>(got) - *received;
  }
  return Step::kMore;
}

size_t TcpConnection::TakeBuffered(std::span<std::byte> to) {
  const std::span<const std::byte> from = buffered().first(std::min(buffered().size(), to.size()));
  std::memcpy(to.data(), from.data(), from.size());
  buffer_begin_ += from.size();
  return from.size();
}

void TcpConnection::FinishWrite() {
  context_.gate->SetObservedChecksum(lease_, checksummer_.Finish());
  TcpCounters::Add(context_.counters->written_ops, 1);
  AnswerAck(lease_);
  expect_ = Expect::kHead;
}

void TcpConnection::AnswerAck(LeaseId lease) {
  std::string frame;
  AppendFrameHead({.type = FrameType::kAck, .tag = head_.tag, .lease = lease}, "", &frame);
  send_queue_.AddFrame(frame);
}

void TcpConnection::RefuseWrite(const absl::Status& status) {
  TcpCounters::Add(context_.counters->refused_frames, 1);
  send_queue_.AddFrame(EncodeErrorFrame(head_.tag, head_.lease, status));
  expect_ = Expect::kDropped;
}

TcpConnection::Step TcpConnection::DropPayload(uint64_t* budget_bytes) {
  const uint64_t rest = head_.length_bytes - done_bytes_;
  size_t dropped = std::min<uint64_t>(rest, buffered().size());
  buffer_begin_ += dropped;
  if (dropped == 0 && rest > 0) {
    // For tcp(7), MSG_TRUNC drops the bytes instead of copying them.
    const ssize_t got = recv(fd(), nullptr, std::min(rest, *budget_bytes),
                             MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0) return IsForNow(errno) ? Step::kWaiting : Step::kDead;
    if (got == 0) return Step::kDead;
    dropped = static_cast<size_t>(got);
  }
  done_bytes_ += dropped;
  Spend(budget_bytes, dropped);
  if (done_bytes_ == head_.length_bytes) expect_ = Expect::kHead;
  return Step::kMore;
}

void TcpConnection::Reject(const absl::Status& status, Instant now) {
  TcpCounters::Add(context_.counters->refused_frames, 1);
  send_queue_.AddFrame(EncodeErrorFrame(kNoTag, LeaseId{}, status));
  patience_end_ = now + kRejectPatience;
  expect_ = Expect::kNothing;
}

TcpConnection::Step TcpConnection::DropAll(uint64_t* budget_bytes) {
  const ssize_t got = recv(fd(), nullptr, *budget_bytes, MSG_DONTWAIT | MSG_TRUNC);
  if (got < 0) return IsForNow(errno) ? Step::kWaiting : Step::kDead;
  if (got == 0) return Step::kDead;
  Spend(budget_bytes, static_cast<uint64_t>(got));
  return Step::kMore;
}

}  // namespace kvasir
