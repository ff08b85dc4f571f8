#include "rdma/tcp_send_queue.h"

#include <sys/socket.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/limits.h"
#include "gtest/gtest.h"
#include "tests/rdma/tcp_peer.h"
#include "tests/support/fake_gate.h"

namespace kvasir {
namespace {

using Result = TcpSendQueue::Result;

constexpr TcpLaneKey kLane{.session = {.high = 1, .low = 2}, .lane = LaneId{3}};
constexpr uint64_t kPlenty = 64 * kMiB;

class TcpSendQueueTest : public testing::Test {
 protected:
  TcpSendQueueTest() : TcpSendQueueTest(TcpPair()) {}
  explicit TcpSendQueueTest(std::pair<UniqueFd, UniqueFd> ends)
      : server_(std::move(ends.first)),
        peer_(std::move(ends.second)),
        queue_(server_.get(), &gate_, &counters_) {}

  Token Grant(uint64_t size_bytes) {
    return gate_.Grant(
        {.session = kLane.session, .lane = kLane.lane, .size_bytes = size_bytes});
  }
  static TcpSendQueue::Block BlockOf(const Token& token, uint32_t tag) {
    return {.lane = kLane,
            .tag = tag,
            .lease = token.lease,
            .sealed = token.sealed,
            .length_bytes = token.extent.size_bytes};
  }
  bool Add(TcpSendQueue::Block block) {
    std::vector<TcpSendQueue::Block> blocks;
    blocks.push_back(std::move(block));
    return queue_.AddBlocks(std::move(blocks));
  }
  // The next frame at the other end; flushes while it waits.
  std::optional<TcpPeer::Frame> Next() {
    return peer_.Receive([this] { queue_.Flush(kPlenty); });
  }
  static std::string Ack(uint32_t tag) { return FrameOf({.type = FrameType::kAck, .tag = tag}); }

  FakeGate gate_{4 * kMiB};
  TcpCounters counters_;
  UniqueFd server_;
  TcpPeer peer_;
  TcpSendQueue queue_;
};

TEST_F(TcpSendQueueTest, SendsFramesAndBlocksInTheirOrder) {
  const Token token = Grant(100);
  std::memset(gate_.Bytes(token).data(), 'b', 100);
  queue_.AddFrame(Ack(1));
  queue_.AddFrame(Ack(2));
  ASSERT_TRUE(Add(BlockOf(token, 3)));
  queue_.AddFrame(Ack(4));
  EXPECT_FALSE(queue_.empty());
  EXPECT_EQ(queue_.Flush(kPlenty), Result::kIdle);
  EXPECT_TRUE(queue_.empty());
  for (uint32_t tag = 1; tag <= 4; ++tag) EXPECT_EQ(Next()->head.tag, tag);
  EXPECT_EQ(counters_.read_bytes, 100u);
  EXPECT_EQ(counters_.read_ops, 1u);
}

TEST_F(TcpSendQueueTest, CutsABlockIntoPiecesThatFollowEachOther) {
  const Token token = Grant(2 * kTcpPieceBytes + 5);
  ASSERT_TRUE(Add(BlockOf(token, 7)));
  uint64_t offset = 0;
  for (const uint64_t length : {kTcpPieceBytes, kTcpPieceBytes, uint64_t{5}}) {
    const std::optional<TcpPeer::Frame> frame = Next();
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(frame->head.offset_bytes, offset);
    EXPECT_EQ(frame->payload.size(), length);
    EXPECT_EQ(frame->head.tag, 7u);
    offset += length;
  }
}

TEST_F(TcpSendQueueTest, ABudgetEndsAFlushThatGoesOnLater) {
  ASSERT_TRUE(Add(BlockOf(Grant(20'000), 1)));
  ASSERT_TRUE(Add(BlockOf(Grant(20'000), 2)));
  EXPECT_EQ(queue_.Flush(20'000), Result::kMore);
  EXPECT_EQ(queue_.Flush(kPlenty), Result::kIdle);
  EXPECT_EQ(Next()->head.tag, 1u);
  EXPECT_EQ(Next()->head.tag, 2u);
}

TEST_F(TcpSendQueueTest, ARefusedBlockIsAnErrorInItsPlace) {
  const Token refused = Grant(100);
  gate_.End(refused.lease);
  ASSERT_TRUE(Add(BlockOf(refused, 1)));
  ASSERT_TRUE(Add(BlockOf(Grant(100), 2)));
  const std::optional<TcpPeer::Frame> error = Next();
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->head.type, FrameType::kError);
  EXPECT_EQ(error->head.code, absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(error->head.tag, 1u);
  EXPECT_EQ(error->head.lease, refused.lease);
  EXPECT_EQ(Next()->head.tag, 2u);
  EXPECT_EQ(counters_.refused_frames, 1u);
}

TEST_F(TcpSendQueueTest, ALeaseThatEndsBetweenPiecesIsAnErrorInPlaceOfTheNext) {
  const Token token = Grant(2 * kTcpPieceBytes);
  ASSERT_TRUE(Add(BlockOf(token, 1)));
  const std::optional<TcpPeer::Frame> first = peer_.Receive([&] {
    if (counters_.read_bytes < kTcpPieceBytes) queue_.Flush(1);
  });
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->payload.size(), kTcpPieceBytes);
  gate_.End(token.lease);
  const std::optional<TcpPeer::Frame> error = Next();
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->head.type, FrameType::kError);
  EXPECT_EQ(error->head.tag, 1u);
}

TEST_F(TcpSendQueueTest, ALeaseThatEndsWithinAPieceEndsTheConnection) {
  const Token token = Grant(kMiB);
  const int small = 4096;
  ASSERT_EQ(setsockopt(server_.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
  ASSERT_EQ(setsockopt(peer_.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
  ASSERT_TRUE(Add(BlockOf(token, 1)));
  ASSERT_EQ(queue_.Flush(kPlenty), Result::kBlocked);
  gate_.End(token.lease);
  EXPECT_EQ(queue_.Flush(kPlenty), Result::kBroken);
  EXPECT_TRUE(peer_.WaitForEnd([] {}));
  EXPECT_FALSE(Add(BlockOf(Grant(1), 2)));
}

TEST_F(TcpSendQueueTest, APeerThatIsGoneBreaksIt) {
  peer_.Close();
  Result result = Result::kIdle;
  for (int i = 0; i < 1000 && result != Result::kBroken; ++i) {
    queue_.AddFrame(Ack(1));
    result = queue_.Flush(kPlenty);
  }
  EXPECT_EQ(result, Result::kBroken);
}

TEST_F(TcpSendQueueTest, QueuedBlocksAreBoundedAllOrNone) {
  const Token token = Grant(1);
  std::vector<TcpSendQueue::Block> full(kTcpQueuedBlocksMax, BlockOf(token, 1));
  std::vector<TcpSendQueue::Block> too_many(kTcpQueuedBlocksMax + 1, BlockOf(token, 1));
  EXPECT_FALSE(queue_.AddBlocks(too_many));
  EXPECT_TRUE(queue_.empty());
  EXPECT_TRUE(queue_.HasRoom());
  EXPECT_TRUE(queue_.AddBlocks(full));
  EXPECT_FALSE(queue_.HasRoom());
  EXPECT_FALSE(Add(BlockOf(token, 1)));
  EXPECT_FALSE(queue_.TakeRoomMade());
  queue_.Flush(kPlenty);
  EXPECT_TRUE(queue_.TakeRoomMade());
  EXPECT_FALSE(queue_.TakeRoomMade());
  EXPECT_TRUE(queue_.HasRoom());
}

TEST_F(TcpSendQueueTest, QueuedFramesAreBoundedByTheirBytes) {
  size_t bytes = 0;
  while (queue_.HasRoom()) {
    queue_.AddFrame(Ack(1));
    bytes += kFrameHeaderBytes;
    ASSERT_LE(bytes, kTcpQueuedFrameBytesMax + kFrameHeaderBytes);
  }
  queue_.Flush(kPlenty);
  EXPECT_TRUE(queue_.TakeRoomMade());
}

TEST_F(TcpSendQueueTest, ThreadsThatAddAndFlushAtOnceLoseAndTearNothing) {
  constexpr uint32_t kThreads = 4;
  constexpr uint32_t kEach = 300;
  const Token token = Grant(3000);
  std::memset(gate_.Bytes(token).data(), 'b', 3000);
  std::vector<std::unique_ptr<ThreadPool>> threads;
  for (uint32_t t = 0; t < kThreads; ++t) {
    threads.push_back(std::make_unique<ThreadPool>(ThreadPool::Options{.name = "sender"}));
    ASSERT_TRUE(threads.back()->Submit([&, t] {
      for (uint32_t i = 1; i <= kEach; ++i) {
        if (i % 2 == 0) {
          queue_.AddFrame(Ack(t * kEach + i));
        } else {
          EXPECT_TRUE(Add(BlockOf(token, t * kEach + i)));
        }
        queue_.Flush(kPlenty);
      }
    }));
  }
  std::vector<uint32_t> last(kThreads, 0);
  for (uint32_t n = 0; n < kThreads * kEach; ++n) {
    const std::optional<TcpPeer::Frame> frame = Next();
    ASSERT_TRUE(frame.has_value());
    const uint32_t thread = (frame->head.tag - 1) / kEach;
    ASSERT_LT(last[thread], frame->head.tag);  // Each thread's in its order.
    last[thread] = frame->head.tag;
    const bool data = frame->head.type == FrameType::kData;
    ASSERT_EQ(frame->payload, std::string(data ? 3000 : 0, 'b'));
  }
  threads.clear();
  EXPECT_TRUE(queue_.empty());
}

}  // namespace
}  // namespace kvasir
