#ifndef KVASIR_RDMA_TCP_SEND_QUEUE_H_
#define KVASIR_RDMA_TCP_SEND_QUEUE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "base/limits.h"
#include "rdma/frame.h"
#include "rdma/tcp_counters.h"
#include "rdma/tcp_lane_table.h"
#include "rdma/transport.h"

namespace kvasir {

// What a tcp server still has to send on one connection: frames, and blocks that become
// DATA frames of at most kTcpPieceBytes, each under a token that the gate checks again
// for every copy into the socket.
//
// Any thread may add and flush. One at a time sends, without holding a lock; another
// that comes meanwhile leaves its items to it. The socket must be nonblocking and
// watched for writability edge-triggered: kBlocked means that the watcher goes on.
class TcpSendQueue {
 public:
  // A range of a block, as a READ asked for it or Push offers it (kNoTag).
  struct Block {
    TcpLaneKey lane;
    uint32_t tag = kNoTag;
    LeaseId lease{};
    std::string sealed;
    uint64_t offset_bytes = 0;
    uint64_t length_bytes = 0;
  };
  enum class Result {
    kIdle,     // nothing is left, or another thread sends it
    kMore,     // the budget is used up
    kBlocked,  // the socket is full
    kBroken,   // the connection cannot go on; the socket is shut
  };

  // `fd` is not owned. All must outlive the queue.
  TcpSendQueue(int fd, Gate* gate, TcpCounters* counters)
      : fd_(fd), gate_(gate), counters_(counters) {}

  // A whole frame. The caller bounds how many: it asks HasRoom before it takes a request.
  void AddFrame(std::string_view frame) ABSL_LOCKS_EXCLUDED(mu_);
  // False, and nothing is added, if the queue would exceed kTcpQueuedBlocksMax.
  [[nodiscard]] bool AddBlocks(std::vector<Block> blocks) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether the answer to one more request fits. If not, TakeRoomMade tells once when a
  // Flush has made room.
  bool HasRoom() ABSL_LOCKS_EXCLUDED(mu_);
  bool TakeRoomMade() ABSL_LOCKS_EXCLUDED(mu_);

  // Sends until there is nothing left, the socket is full, or `budget_bytes` are sent.
  Result Flush(uint64_t budget_bytes) ABSL_LOCKS_EXCLUDED(mu_);
  bool empty() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Item {
    std::string frames;  // whole frames, if not empty
    Block block;         // else
  };
  // The item on its way, owned by the thread that sends.
  struct Current {
    Item item;
    uint64_t sent_bytes = 0;  // of `frames`, or of the open piece with its header
    uint64_t piece_bytes = 0;  // payload of the open piece; 0: none is open
    std::array<std::byte, kFrameHeaderBytes> header;
  };
  enum class Step { kDone, kMore, kBlocked, kBroken };

  // Takes over the sending side, or leaves word for the thread that has it.
  bool Claim() ABSL_LOCKS_EXCLUDED(mu_);
  // Gives it back. False if word was left since Claim that there is more to do.
  bool Release(Result result) ABSL_LOCKS_EXCLUDED(mu_);
  // The rest is for the thread that has the claim.
  Result Drain(uint64_t budget_bytes) ABSL_LOCKS_EXCLUDED(mu_);
  bool TakeNext() ABSL_LOCKS_EXCLUDED(mu_);
  Step SendFrames(uint64_t* budget_bytes);
  Step SendPiece(uint64_t* budget_bytes);
  void OpenPiece();
  // The gate refused: says so in place of the piece, if that has not begun.
  Step Refuse(const absl::Status& status);

  bool HasRoomLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int fd_;
  Gate* const gate_;
  TcpCounters* const counters_;
  std::optional<Current> current_;  // of the thread that has the claim
  mutable absl::Mutex mu_;
  bool claimed_ ABSL_GUARDED_BY(mu_) = false;
  bool again_ ABSL_GUARDED_BY(mu_) = false;  // somebody came while it was claimed
  bool broken_ ABSL_GUARDED_BY(mu_) = false;
  bool item_under_way_ ABSL_GUARDED_BY(mu_) = false;
  bool room_wanted_ ABSL_GUARDED_BY(mu_) = false;
  bool room_made_ ABSL_GUARDED_BY(mu_) = false;
  size_t queued_blocks_ ABSL_GUARDED_BY(mu_) = 0;
  size_t queued_frame_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Item> items_ ABSL_GUARDED_BY(mu_);
};

// Payload of one DATA frame.
inline constexpr uint64_t kTcpPieceBytes = kMiB;
// Two full batches.
inline constexpr size_t kTcpQueuedBlocksMax = 2 * kMaxKeysPerCall;
inline constexpr size_t kTcpQueuedFrameBytesMax = 256 * kKiB;

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_SEND_QUEUE_H_
