#ifndef KVASIR_RDMA_TCP_CONNECTION_H_
#define KVASIR_RDMA_TCP_CONNECTION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limits.h"
#include "rdma/frame.h"
#include "rdma/tcp_counters.h"
#include "rdma/tcp_lane_table.h"
#include "rdma/tcp_send_queue.h"
#include "rdma/tcp_socket.h"
#include "rdma/transport.h"

namespace kvasir {

// The server's end of one connection: reads frames, and answers through its TcpSendQueue.
// Bytes of a WRITE go from the socket straight into the arena, piece by piece under the
// gate, and are hashed while they are in cache.
//
// Threads: all of it belongs to one loop's thread, but for send_queue().
class TcpConnection {
 public:
  // What Work left behind.
  enum class State {
    kWaiting,  // for the socket
    kReady,    // the budget is used up: call Work again
    kDead,     // close it
  };

  // None owned but `fd`; all must outlive the connection.
  struct Context {
    Gate* gate = nullptr;
    TcpLaneTable* lanes = nullptr;
    TcpCounters* counters = nullptr;
  };
  TcpConnection(UniqueFd fd, const TcpPlace& place, const Context& context,
                Instant patience_end);

  // Receives and sends what can be without waiting, up to a bounded number of bytes.
  State Work(Instant now);

  // Refuses WRITE frames from now on, the one under way included. On return no copy of
  // this connection is under way: copies run in Work alone.
  void CutWrites() { writes_cut_ = true; }

  int fd() const { return fd_.get(); }
  const TcpPlace& place() const { return place_; }
  TcpSendQueue* send_queue() { return &send_queue_; }
  // Nothing until the connection has attached to its lane.
  const std::optional<TcpLaneKey>& lane() const { return lane_; }
  // Set while the connection may stay only until then: it has not attached yet, or has
  // sent garbage and is being told so.
  const std::optional<Instant>& patience_end() const { return patience_end_; }
  // Fences to report once the socket is closed.
  std::vector<TcpFenceId>& fences() { return fences_; }

 private:
  enum class Expect {
    kHead,     // a header and its meta
    kPayload,  // of a WRITE that is admitted
    kDropped,  // payload of a WRITE that is refused
    kNothing,  // garbage came: whatever follows is dropped
  };
  enum class Step { kMore, kWaiting, kFull, kDead };

  // Buffers what comes while a head is expected. Small, because the payload behind a
  // head is copied once more if it ends up here.
  static constexpr size_t kBufferBytes = 4096;

  Step Receive(uint64_t* budget_bytes, Instant now);
  // Bytes of payload that must come before anything else can.
  uint64_t awaited_bytes() const;
  Step ReceiveHead(uint64_t* budget_bytes, Instant now);
  Step ReceivePayload(uint64_t* budget_bytes);
  Step DropPayload(uint64_t* budget_bytes);
  Step DropAll(uint64_t* budget_bytes);

  // Takes one frame head off the buffer, if a whole one is there.
  Step TakeHead(Instant now);
  Step Attach(std::span<const std::byte> nonce, Instant now);
  void BeginRead();
  void BeginWrite();
  absl::Status CheckWrite() const;
  void FinishWrite();
  void RefuseWrite(const absl::Status& status);
  // Says what is wrong, and that nothing more is read.
  void Reject(const absl::Status& status, Instant now);

  // Copies into `to` from the buffer, then from the socket, and hashes. Sets *copied.
  Step CopyInto(std::span<std::byte> to, uint64_t* copied);
  // The rest of `to`, and behind it, if this ends the payload, what fits the buffer.
  Step ReceiveInto(std::span<std::byte> to, bool ends_payload, size_t* received);
  void AnswerAck(LeaseId lease);

  std::span<const std::byte> buffered() const {
    return std::span(buffer_).subspan(buffer_begin_, buffer_end_ - buffer_begin_);
  }
  size_t TakeBuffered(std::span<std::byte> to);
  std::string_view sealed() const { return {sealed_.data(), head_.meta_bytes}; }

  UniqueFd fd_;
  const TcpPlace place_;
  const Context context_;
  ReceiveThreshold threshold_;
  TcpSendQueue send_queue_;
  std::optional<TcpLaneKey> lane_;
  std::optional<Instant> patience_end_;
  bool writes_cut_ = false;
  std::vector<TcpFenceId> fences_;

  Expect expect_ = Expect::kHead;
  std::array<std::byte, kBufferBytes> buffer_;
  size_t buffer_begin_ = 0;
  size_t buffer_end_ = 0;

  // The request under way.
  FrameHeader head_;
  std::array<char, kFrameMetaBytesMax> sealed_;
  LeaseId lease_{};  // of a WRITE: as its token says, once the gate has accepted it
  uint64_t done_bytes_ = 0;  // of its payload
  Checksummer checksummer_;
  // Stands for "being written" where the gate keeps the checksum of a block: no one can
  // know it, so a commit that comes too early fails.
  const uint64_t unfinished_checksum_;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_CONNECTION_H_
