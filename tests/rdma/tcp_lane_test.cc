// A client's lane against servers that break the protocol: their answers are in the
// socket before the lane asks.
#include "rdma/tcp_lane.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "gtest/gtest.h"
#include "tests/rdma/tcp_peer.h"

namespace kvasir {
namespace {

constexpr char kCanary = '#';
constexpr size_t kBytes = 1000;

class TcpLaneTest : public testing::Test {
 protected:
  TcpLaneTest() : TcpLaneTest(TcpPair()) {}
  explicit TcpLaneTest(std::pair<UniqueFd, UniqueFd> ends)
      : server_(std::move(ends.first)), lane_(std::move(ends.second), Clock::Real()) {}

  static Instant In(std::chrono::milliseconds wait) { return Clock::Real()->Now() + wait; }

  // Reads of kBytes each, tags 1, 2, ..., with canaries around the buffers.
  std::vector<Transfer> Reads(size_t count) {
    memory_.assign((2 * count + 1) * kBytes, std::byte{kCanary});
    slices_.clear();
    for (size_t i = 0; i < count; ++i) {
      slices_.push_back(std::span(memory_).subspan((2 * i + 1) * kBytes, kBytes));
    }
    std::vector<Transfer> transfers;
    for (size_t i = 0; i < count; ++i) {
      Token token{.lease = LeaseId{100 + i}, .sealed = "token"};
      token.extent.size_bytes = kBytes;
      transfers.push_back({.token = token, .local = std::span(&slices_[i], 1)});
    }
    return transfers;
  }
  void Say(std::string_view bytes) { server_.Send(bytes, [] {}); }
  static std::string Data(uint32_t tag, uint64_t offset, std::string_view payload,
                          LeaseId lease = LeaseId{100}) {
    return FrameOf({.type = FrameType::kData,
                    .tag = tag,
                    .lease = lease,
                    .offset_bytes = offset,
                    .length_bytes = payload.size()},
                   "", payload);
  }
  std::string Got(size_t i) const {
    return {reinterpret_cast<const char*>(slices_[i].data()), slices_[i].size()};
  }
  void Run(std::vector<Transfer>& transfers) {
    lane_.Run(transfers, In(std::chrono::seconds(30)));
  }
  bool CanariesLive() const {
    for (size_t at = 0; at < memory_.size(); at += 2 * kBytes) {
      const auto canary = std::span(memory_).subspan(at, kBytes);
      if (!std::all_of(canary.begin(), canary.end(),
                       [](std::byte byte) { return byte == std::byte{kCanary}; })) {
        return false;
      }
    }
    return true;
  }
  // The server said `answer` to one read: the lane is given up.
  void ExpectBreaks(std::string_view answer) {
    std::vector<Transfer> reads = Reads(1);
    Say(answer);
    Run(reads);
    EXPECT_EQ(reads[0].status.code(), absl::StatusCode::kUnavailable) << reads[0].status;
    EXPECT_FALSE(lane_.usable());
    EXPECT_TRUE(CanariesLive());
  }

  TcpPeer server_;
  TcpLane lane_;
  std::vector<std::byte> memory_;
  std::vector<std::span<std::byte>> slices_;
};

TEST_F(TcpLaneTest, ABlockMayComeInPieces) {
  std::vector<Transfer> reads = Reads(2);
  Say(Data(1, 0, std::string(300, 'a')) + Data(1, 300, std::string(700, 'b')) +
      Data(2, 0, std::string(kBytes, 'c')));
  Run(reads);
  EXPECT_TRUE(reads[0].status.ok()) << reads[0].status;
  EXPECT_EQ(Got(0), std::string(300, 'a') + std::string(700, 'b'));
  EXPECT_EQ(Got(1), std::string(kBytes, 'c'));
  EXPECT_TRUE(CanariesLive());
  EXPECT_TRUE(lane_.usable());
}

TEST_F(TcpLaneTest, AnErrorInPlaceOfAPieceFailsThatBlockAlone) {
  std::vector<Transfer> reads = Reads(2);
  Say(Data(1, 0, std::string(300, 'a')) +
      EncodeErrorFrame(1, LeaseId{100}, absl::PermissionDeniedError("lease ended")) +
      Data(2, 0, std::string(kBytes, 'c')));
  Run(reads);
  EXPECT_EQ(reads[0].status, absl::PermissionDeniedError("lease ended"));
  EXPECT_TRUE(reads[1].status.ok());
  EXPECT_TRUE(lane_.usable());
}

TEST_F(TcpLaneTest, AnErrorWithoutAMessageIsAnError) {
  std::vector<Transfer> reads = Reads(1);
  Say(EncodeErrorFrame(1, LeaseId{}, absl::ResourceExhaustedError("")));
  Run(reads);
  EXPECT_EQ(reads[0].status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(TcpLaneTest, AnErrorOfTheConnectionEndsTheBatch) {
  std::vector<Transfer> reads = Reads(2);
  Say(Data(1, 0, std::string(kBytes, 'a')) +
      EncodeErrorFrame(kNoTag, LeaseId{}, absl::InvalidArgumentError("bad frame")));
  Run(reads);
  EXPECT_TRUE(reads[0].status.ok());
  EXPECT_EQ(reads[1].status, absl::UnavailableError("bad frame"));
  EXPECT_FALSE(lane_.usable());
}

TEST_F(TcpLaneTest, GarbageEndsTheLane) { ExpectBreaks(std::string(kFrameHeaderBytes, 'g')); }
TEST_F(TcpLaneTest, AnotherTagEndsTheLane) { ExpectBreaks(Data(2, 0, "x")); }
TEST_F(TcpLaneTest, AnAckOfAReadEndsTheLane) {
  ExpectBreaks(FrameOf({.type = FrameType::kAck, .tag = 1}));
}
TEST_F(TcpLaneTest, AClientsFrameFromAServerEndsTheLane) {
  ExpectBreaks(FrameOf({.type = FrameType::kRead, .tag = 1, .length_bytes = 1}));
}
TEST_F(TcpLaneTest, MoreDataThanAskedForEndsTheLane) {
  ExpectBreaks(Data(1, 0, std::string(kBytes + 1, 'x')));
}
TEST_F(TcpLaneTest, DataOutOfOrderEndsTheLane) {
  ExpectBreaks(Data(1, 500, std::string(500, 'x')));
}
TEST_F(TcpLaneTest, APieceTooManyEndsTheLane) {
  std::vector<Transfer> reads = Reads(2);
  Say(Data(1, 0, std::string(kBytes, 'x')) + Data(1, 0, std::string(kBytes, 'y')));
  Run(reads);
  EXPECT_TRUE(reads[0].status.ok());
  EXPECT_EQ(reads[1].status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Got(0), std::string(kBytes, 'x'));
}
TEST_F(TcpLaneTest, AnUnaskedBlockEndsTheLane) { ExpectBreaks(Data(kNoTag, 0, "x")); }

TEST_F(TcpLaneTest, APushedBlockOfAnotherLeaseEndsTheLane) {
  std::vector<Transfer> reads = Reads(1);
  reads[0].token.pushed = true;
  Say(Data(kNoTag, 0, std::string(kBytes, 'x'), LeaseId{999}));
  Run(reads);
  EXPECT_EQ(reads[0].status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(TcpLaneTest, APushedBlockThatDoesNotFitIsDroppedAndTheNextArrives) {
  std::vector<Transfer> reads = Reads(2);
  const std::span<std::byte> part = slices_[0].first(10);
  reads[0].local = std::span(&part, 1);
  for (Transfer& read : reads) read.token.pushed = true;
  Say(Data(kNoTag, 0, std::string(kBytes, 'x')) +
      Data(kNoTag, 0, std::string(kBytes, 'y'), LeaseId{101}));
  Run(reads);
  EXPECT_EQ(reads[0].status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Got(0), std::string(kBytes, kCanary));
  EXPECT_TRUE(reads[1].status.ok()) << reads[1].status;
  EXPECT_EQ(Got(1), std::string(kBytes, 'y'));
}

TEST_F(TcpLaneTest, AServerThatHangsUpInTheMiddleMakesTheRestUnavailable) {
  std::vector<Transfer> reads = Reads(2);
  const std::string first = Data(1, 0, std::string(kBytes, 'x'));
  Say(first + first.substr(0, 60));
  server_.EndSending();
  Run(reads);
  EXPECT_TRUE(reads[0].status.ok());
  EXPECT_EQ(reads[1].status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(TcpLaneTest, AServerThatStallsInTheMiddleIsLate) {
  std::vector<Transfer> reads = Reads(1);
  Say(Data(1, 0, std::string(kBytes, 'x')).substr(0, 500));
  lane_.Run(reads, In(std::chrono::milliseconds(20)));
  EXPECT_EQ(reads[0].status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(lane_.usable());
  // What comes now has nowhere to go.
  EXPECT_TRUE(server_.WaitForEnd([] {}));
}

TEST_F(TcpLaneTest, ADeadlineInThePastMovesNothing) {
  std::vector<Transfer> reads = Reads(1);
  Say(Data(1, 0, std::string(kBytes, 'x')));
  lane_.Run(reads, Clock::Real()->Now());
  EXPECT_EQ(reads[0].status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Got(0), std::string(kBytes, kCanary));
}

TEST_F(TcpLaneTest, RequestsCarryTagTokenAndRange) {
  std::vector<Transfer> reads = Reads(1);
  Say(Data(1, 0, std::string(kBytes, 'x')));
  Run(reads);
  const auto request = server_.Receive([] {});
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->head.type, FrameType::kRead);
  EXPECT_EQ(request->head.tag, 1u);
  EXPECT_EQ(request->head.lease, LeaseId{100});
  EXPECT_EQ(request->head.length_bytes, kBytes);
  EXPECT_EQ(request->meta, "token");
}

TEST_F(TcpLaneTest, ABlockOfNoBytesOrTooManyIsNotAskedFor) {
  for (const uint64_t size : {uint64_t{0}, kMaxBlockBytes + 1}) {
    std::vector<Transfer> reads = Reads(1);
    reads[0].token.extent.size_bytes = size;
    reads[0].local = {};
    Run(reads);
    EXPECT_EQ(reads[0].status.code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_TRUE(server_.Quiet());
}

TEST(TcpLaneRandom, MutatedAnswersNeverLeaveTheSlices) {
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 500; ++i) {
    auto [server_fd, client_fd] = TcpPair();
    TcpPeer server(std::move(server_fd));
    TcpLane lane(std::move(client_fd), Clock::Real());
    std::vector<std::byte> memory(3 * kBytes, std::byte{kCanary});
    const std::span<std::byte> slice = std::span(memory).subspan(kBytes, kBytes);
    Transfer read{.local = std::span(&slice, 1)};
    read.token.sealed = "token";
    read.token.extent.size_bytes = kBytes;
    const std::string payload(kBytes, 'p');
    std::string answer = FrameOf({.type = FrameType::kData, .tag = 1, .length_bytes = kBytes},
                                 "", payload) +
                         payload;
    for (uint64_t n = 1 + random() % 3; n > 0; --n) {
      answer[random() % kFrameHeaderBytes] ^= static_cast<char>(1 << random() % 8);
    }
    server.Send(answer, [] {});
    server.EndSending();
    lane.Run(std::span(&read, 1), Clock::Real()->Now() + std::chrono::seconds(30));
    for (const size_t at : {size_t{0}, 2 * kBytes}) {
      const auto canary = std::span(memory).subspan(at, kBytes);
      ASSERT_TRUE(std::all_of(canary.begin(), canary.end(),
                              [](std::byte byte) { return byte == std::byte{kCanary}; }));
    }
    if (!read.status.ok()) continue;
    ASSERT_EQ(std::memcmp(slice.data(), payload.data(), kBytes), 0);
  }
}

}  // namespace
}  // namespace kvasir
