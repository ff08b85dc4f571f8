// The tcp server against peers that break the protocol. One thread: the test turns the
// crank of the server's only loop.
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/limits.h"
#include "gtest/gtest.h"
#include "rdma/frame.h"
#include "rdma/tcp_loop.h"
#include "rdma/tcp_offer.h"
#include "rdma/tcp_server.h"
#include "tests/rdma/tcp_peer.h"
#include "tests/support/fake_gate.h"
#include "tests/support/manual_clock.h"

namespace kvasir {
namespace {

constexpr SessionId kSession{.high = 1, .low = 2};
constexpr uint64_t kRegionBytes = 4 * kMiB;
constexpr size_t kConnectionsMax = 300;

class TcpHostile : public testing::Test {
 protected:
  TcpHostile() {
    auto server = TcpServer::Create({.loops = 1, .connections_max = kConnectionsMax}, &gate_,
                                    &clock_);
    KV_CHECK(server.ok());
    server_ = *std::move(server);
  }

  void Crank() { server_->Poll(0, std::chrono::milliseconds(1)); }
  auto crank() {
    return [this] { Crank(); };
  }

  std::string Nonce(LaneId lane) {
    const auto text = server_->Accept(kSession, lane, EncodeTcpHello());
    KV_CHECK(text.ok());
    const auto offer = DecodeTcpOffer(*text);
    KV_CHECK(offer.ok());
    return {reinterpret_cast<const char*>(offer->nonce.data()), offer->nonce.size()};
  }
  TcpPeer Connect() { return TcpPeer::ConnectTo(server_->listen_address()); }
  TcpPeer Attached(LaneId lane) {
    TcpPeer peer = Connect();
    peer.Send(FrameOf({.type = FrameType::kAttach}, Nonce(lane)), crank());
    const std::optional<TcpPeer::Frame> answer = peer.Receive(crank());
    KV_CHECK(answer.has_value() && answer->head.type == FrameType::kAck);
    return peer;
  }
  Token Grant(LaneId lane, Access access, uint64_t size_bytes) {
    return gate_.Grant({.session = kSession,
                        .lane = lane,
                        .access = access,
                        .size_bytes = size_bytes,
                        .checksum_seed = 9});
  }
  static std::string ReadFrame(const Token& token, uint32_t tag) {
    return FrameOf({.type = FrameType::kRead,
                    .tag = tag,
                    .lease = token.lease,
                    .length_bytes = token.extent.size_bytes},
                   token.sealed);
  }
  static std::string WriteFrame(const Token& token, uint32_t tag, std::string_view payload) {
    return FrameOf({.type = FrameType::kWrite,
                    .tag = tag,
                    .lease = token.lease,
                    .length_bytes = payload.size()},
                   token.sealed, payload);
  }
  std::string_view Stored(const Token& token) {
    const std::span<std::byte> bytes = gate_.Bytes(token);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  // A lane of its own works.
  void ExpectServes() {
    const LaneId lane{next_good_lane_++};
    TcpPeer peer = Attached(lane);
    const Token token = Grant(lane, Access::kWrite, 4);
    peer.Send(WriteFrame(token, 1, "good"), crank());
    const std::optional<TcpPeer::Frame> answer = peer.Receive(crank());
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->head.type, FrameType::kAck);
    EXPECT_EQ(Stored(token), "good");
  }
  // The server says INVALID_ARGUMENT with tag 0, and hangs up.
  void ExpectRejected(TcpPeer& peer, absl::StatusCode code) {
    std::optional<TcpPeer::Frame> last;
    while (std::optional<TcpPeer::Frame> frame = peer.Receive(crank())) last = frame;
    ASSERT_TRUE(last.has_value());
    EXPECT_EQ(last->head.type, FrameType::kError);
    EXPECT_EQ(last->head.tag, kNoTag);
    EXPECT_EQ(last->head.code, code);
    EXPECT_FALSE(last->meta.empty());
  }

  ManualClock clock_;
  FakeGate gate_{kRegionBytes};
  std::unique_ptr<TcpServer> server_;
  uint64_t next_good_lane_ = 1'000'000;
};

TEST_F(TcpHostile, GarbageBeforeAttachIsAnsweredAndCut) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) {
    TcpPeer peer = Connect();
    std::string garbage(kFrameHeaderBytes + random() % 200, '\0');
    for (char& byte : garbage) byte = static_cast<char>(random());
    peer.Send(garbage, crank());
    ExpectRejected(peer, absl::StatusCode::kInvalidArgument);
  }
  ExpectServes();
}

// Whatever becomes of a mutated frame, no byte lands outside the extent of a token that
// the lane holds, and the server serves on.
TEST_F(TcpHostile, ThousandsOfMutatedFramesHarmNobody) {
  constexpr uint64_t kSeed = 42;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  const std::string payload(500, 'w');
  for (int i = 0; i < 2000; ++i) {
    const LaneId lane{static_cast<uint64_t>(1 + i)};
    gate_.Reset();
    const Token read = Grant(lane, Access::kRead, 500);
    const Token write = Grant(lane, Access::kWrite, 500);
    std::string frames;
    for (uint32_t tag = 1; tag <= 3; ++tag) {
      frames += random() % 2 == 0 ? ReadFrame(read, tag) : WriteFrame(write, tag, payload);
    }
    for (uint64_t n = 1 + random() % 4; n > 0; --n) {
      frames[random() % frames.size()] ^= static_cast<char>(1 << random() % 8);
    }
    TcpPeer peer = Attached(lane);
    peer.Send(frames.substr(0, 1 + random() % frames.size()), crank());
    peer.EndSending();
    ASSERT_TRUE(peer.WaitForEnd(crank()));
  }
  const auto bytes = gate_.region().bytes();
  const std::vector<std::byte> zeros(bytes.size());
  EXPECT_EQ(std::memcmp(bytes.data(), zeros.data(), 4096), 0);
  EXPECT_EQ(std::memcmp(bytes.data() + 4596, zeros.data(), bytes.size() - 4596), 0);
  EXPECT_EQ(server_->stats().lanes, 0u);
  EXPECT_GT(server_->stats().refused_frames_total, 500u);
  ExpectServes();
}

TEST_F(TcpHostile, FramesMayComeByteByByte) {
  const LaneId lane{1};
  TcpPeer peer = Connect();
  const Token write = Grant(lane, Access::kWrite, 100);
  const Token read = Grant(lane, Access::kRead, 100);
  std::memset(gate_.Bytes(read).data(), 'r', 100);
  const std::string payload(100, 'w');
  const std::string all = FrameOf({.type = FrameType::kAttach}, Nonce(lane)) +
                          WriteFrame(write, 1, payload) + ReadFrame(read, 2);
  for (const char byte : all) {
    peer.Send({&byte, 1}, crank());
    Crank();
  }
  EXPECT_EQ(peer.Receive(crank())->head.type, FrameType::kAck);
  const std::optional<TcpPeer::Frame> ack = peer.Receive(crank());
  ASSERT_TRUE(ack.has_value());
  EXPECT_EQ(ack->head.type, FrameType::kAck);
  EXPECT_EQ(ack->head.tag, 1u);
  EXPECT_EQ(Stored(write), payload);
  EXPECT_EQ(gate_.observed_checksum(write.lease), BlockChecksum(9, AsBytes(payload)));
  const std::optional<TcpPeer::Frame> data = peer.Receive(crank());
  ASSERT_TRUE(data.has_value());
  EXPECT_EQ(data->head.tag, 2u);
  EXPECT_EQ(data->payload, std::string(100, 'r'));
}

TEST_F(TcpHostile, AClientThatGoesInTheMiddleOfAWriteLeavesNoChecksum) {
  const LaneId lane{1};
  TcpPeer peer = Attached(lane);
  const std::string payload(100'000, 'w');
  const Token token = Grant(lane, Access::kWrite, payload.size());
  peer.Send(WriteFrame(token, 1, payload), crank());
  ASSERT_EQ(peer.Receive(crank())->head.type, FrameType::kAck);
  const uint64_t whole = *gate_.observed_checksum(token.lease);
  // The same again, cut: now the block is neither what it was nor whole.
  const std::string again = WriteFrame(token, 2, payload);
  peer.Send(again.substr(0, again.size() / 2), crank());
  peer.EndSending();
  ASSERT_TRUE(peer.WaitForEnd(crank()));
  EXPECT_NE(*gate_.observed_checksum(token.lease), whole);
  EXPECT_EQ(server_->stats().lanes, 0u);
  bool fenced = false;
  server_->Fence({.session = kSession, .lane = lane}, [&] { fenced = true; });
  EXPECT_TRUE(fenced);
}

TEST_F(TcpHostile, TheTokenNamesTheLeaseAndNotTheHeader) {
  const LaneId lane{1};
  TcpPeer peer = Attached(lane);
  const Token victim = Grant(LaneId{2}, Access::kWrite, 4);
  const Token token = Grant(lane, Access::kWrite, 4);
  Token forged = token;
  forged.lease = victim.lease;
  peer.Send(WriteFrame(forged, 1, "data"), crank());
  EXPECT_EQ(peer.Receive(crank())->head.type, FrameType::kAck);
  EXPECT_EQ(gate_.observed_checksum(victim.lease), std::nullopt);
  EXPECT_EQ(gate_.observed_checksum(token.lease), BlockChecksum(9, AsBytes("data")));
}

TEST_F(TcpHostile, PartOfABlockIsRefusedAndTheLaneGoesOn) {
  const LaneId lane{1};
  TcpPeer peer = Attached(lane);
  const Token token = Grant(lane, Access::kWrite, 8);
  peer.Send(WriteFrame(token, 1, "half"), crank());
  EXPECT_EQ(peer.Receive(crank())->head.code, absl::StatusCode::kInvalidArgument);
  peer.Send(WriteFrame(token, 2, "too much!"), crank());
  EXPECT_EQ(peer.Receive(crank())->head.code, absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Stored(token), std::string(8, '\0'));
  peer.Send(WriteFrame(token, 3, "8 bytes."), crank());
  EXPECT_EQ(peer.Receive(crank())->head.tag, 3u);
  EXPECT_EQ(Stored(token), "8 bytes.");
}

TEST_F(TcpHostile, ARangeWithinABlockCanBeRead) {
  const LaneId lane{1};
  TcpPeer peer = Attached(lane);
  const Token token = Grant(lane, Access::kRead, 8);
  std::memcpy(gate_.Bytes(token).data(), "01234567", 8);
  peer.Send(FrameOf({.type = FrameType::kRead, .tag = 1, .offset_bytes = 2, .length_bytes = 3},
                    token.sealed),
            crank());
  const std::optional<TcpPeer::Frame> data = peer.Receive(crank());
  ASSERT_TRUE(data.has_value());
  EXPECT_EQ(data->payload, "234");
  EXPECT_EQ(data->head.offset_bytes, 2u);
}

TEST_F(TcpHostile, OnlyAClientsFramesAreTakenAndAttachComesFirstAndOnce) {
  const Token token = Grant(LaneId{1}, Access::kRead, 8);
  TcpPeer early = Connect();
  early.Send(ReadFrame(token, 1), crank());
  ExpectRejected(early, absl::StatusCode::kInvalidArgument);
  for (const std::string& frame :
       {FrameOf({.type = FrameType::kAttach}, Nonce(LaneId{2})),
        FrameOf({.type = FrameType::kData, .length_bytes = 1}, "", "x"),
        FrameOf({.type = FrameType::kAck}),
        EncodeErrorFrame(1, LeaseId{}, absl::InternalError("x"))}) {
    TcpPeer peer = Attached(LaneId{next_good_lane_++});
    peer.Send(frame, crank());
    ExpectRejected(peer, absl::StatusCode::kInvalidArgument);
  }
  ExpectServes();
}

TEST_F(TcpHostile, ANonceWorksOnceAndInTime) {
  const std::string nonce = Nonce(LaneId{1});
  const std::string late = Nonce(LaneId{2});
  const std::string attach = FrameOf({.type = FrameType::kAttach}, nonce);
  TcpPeer first = Connect();
  first.Send(attach, crank());
  EXPECT_EQ(first.Receive(crank())->head.type, FrameType::kAck);
  TcpPeer second = Connect();
  second.Send(attach, crank());
  ExpectRejected(second, absl::StatusCode::kPermissionDenied);
  clock_.Advance(std::chrono::seconds(4));
  TcpPeer third = Connect();
  third.Send(FrameOf({.type = FrameType::kAttach}, late), crank());
  ExpectRejected(third, absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(first.Quiet());
}

TEST_F(TcpHostile, AConnectionThatDoesNotAttachIsCutInTime) {
  TcpPeer good = Attached(LaneId{1});
  TcpPeer silent = Connect();
  TcpPeer slow = Connect();
  slow.Send(FrameOf({.type = FrameType::kAttach}, Nonce(LaneId{2})).substr(0, 20), crank());
  while (server_->connections() < 3) Crank();
  Crank();  // Their patience begins when the loop takes them in.
  clock_.Advance(std::chrono::milliseconds(2'900));
  Crank();
  EXPECT_TRUE(silent.Quiet());
  clock_.Advance(std::chrono::milliseconds(200));
  EXPECT_TRUE(silent.WaitForEnd(crank()));
  EXPECT_TRUE(slow.WaitForEnd(crank()));
  EXPECT_TRUE(good.Quiet());
}

TEST_F(TcpHostile, TheOldestOfTooManyUnattachedConnectionsIsCut) {
  TcpPeer good = Attached(LaneId{1});
  std::vector<TcpPeer> idle;
  for (int i = 0; i < 257; ++i) {
    idle.push_back(Connect());
    Crank();
  }
  EXPECT_TRUE(idle.front().WaitForEnd(crank()));
  EXPECT_TRUE(idle.back().Quiet());
  EXPECT_TRUE(good.Quiet());
  ExpectServes();
}

TEST_F(TcpHostile, ConnectionsAreBounded) {
  std::vector<TcpPeer> attached;
  for (uint64_t i = 1; i <= kMaxLanesPerSession; ++i) attached.push_back(Attached(LaneId{i}));
  EXPECT_EQ(server_->Accept(kSession, LaneId{999}, EncodeTcpHello()).status().code(),
            absl::StatusCode::kResourceExhausted);
  std::vector<TcpPeer> idle;
  while (attached.size() + idle.size() < kConnectionsMax) {
    idle.push_back(Connect());
    Crank();
  }
  TcpPeer beyond = Connect();
  EXPECT_TRUE(beyond.WaitForEnd(crank()));
  EXPECT_TRUE(attached.front().Quiet());
  idle.clear();
  Crank();
  TcpPeer after = Connect();
  Crank();
  EXPECT_TRUE(after.Quiet());
}

// The server queues so many answers, then stops to read until the client does.
TEST_F(TcpHostile, AClientMayAskForMoreThanFitsAndReadLater) {
  const LaneId lane{1};
  TcpPeer peer = Attached(lane);
  const Token token = Grant(lane, Access::kRead, 8192);
  const std::string payload(8192, 'r');
  std::memcpy(gate_.Bytes(token).data(), payload.data(), payload.size());
  constexpr uint32_t kRequests = 4000;
  for (uint32_t tag = 1; tag <= kRequests; ++tag) peer.Send(ReadFrame(token, tag), crank());
  for (int i = 0; i < 100; ++i) Crank();
  for (uint32_t tag = 1; tag <= kRequests; ++tag) {
    const std::optional<TcpPeer::Frame> data = peer.Receive(crank());
    ASSERT_TRUE(data.has_value());
    ASSERT_EQ(data->head.tag, tag);
    ASSERT_EQ(data->payload, payload);
  }
}

TEST_F(TcpHostile, APeerThatDoesNotHangUpAfterItsRejectionIsCut) {
  TcpPeer peer = Connect();
  peer.Send(std::string(kFrameHeaderBytes, 'x'), crank());
  EXPECT_EQ(peer.Receive(crank())->head.type, FrameType::kError);
  peer.Send("still there?", crank());
  Crank();
  const uint64_t before = server_->connections();
  EXPECT_EQ(before, 1u);
  clock_.Advance(std::chrono::milliseconds(1'100));
  Crank();
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(TcpHostile, WithoutDescriptorsConnectionsWaitUntilThereAreSome) {
  TcpPeer peer = Connect();
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const int next = dup(0);
  close(next);
  const rlimit none = {.rlim_cur = static_cast<rlim_t>(next), .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  Crank();
  EXPECT_EQ(server_->connections(), 0u);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  clock_.Advance(TcpLoop::kSweepInterval);
  Crank();
  peer.Send(FrameOf({.type = FrameType::kAttach}, Nonce(LaneId{1})), crank());
  EXPECT_EQ(peer.Receive(crank())->head.type, FrameType::kAck);
}

}  // namespace
}  // namespace kvasir
