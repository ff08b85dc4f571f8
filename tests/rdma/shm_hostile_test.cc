// The server's half of shm against clients that do not keep to the dialogue, run out of
// descriptors, are somebody else, or die. One thread: the test polls.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/checksum.h"
#include "rdma/shm_listener.h"
#include "rdma/shm_mapping.h"
#include "rdma/shm_packet.h"
#include "rdma/shm_server.h"
#include "rdma/shm_wire.h"
#include "tests/rdma/shm_directory.h"
#include "tests/support/fake_gate.h"
#include "tests/support/manual_clock.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SessionId kSession{.high = 1, .low = 2};
constexpr LaneId kLane{7};
constexpr uint64_t kRingBytes = 256 * kKiB;
constexpr uid_t kNobody = 65534;

class ShmHostileTest : public testing::Test {
 protected:
  // A client made of packets.
  struct RawClient {
    UniqueFd socket;
    std::vector<UniqueFd> fds;  // ring, then regions
    ShmMapping ring;
    uint64_t sequence = 0;
  };

  ShmHostileTest() { Restart({}); }

  void Restart(std::vector<uint32_t> allowed_uids) {
    server_.reset();
    std::filesystem::remove_all(directory_.path());
    server_ = *ShmServer::Create({.directory = directory_.path(),
                                  .allowed_uids = std::move(allowed_uids),
                                  .ring_bytes = kRingBytes},
                                 &gate_, &clock_);
    EXPECT_TRUE(server_->Export(gate_.region()).ok());
  }

  ShmOffer Offer(LaneId lane = kLane) {
    const auto offer = server_->Accept(kSession, lane, EncodeShm(ShmHello{ReadBootId()}));
    EXPECT_TRUE(offer.ok()) << offer.status();
    return *DecodeShmOffer(*offer);
  }
  UniqueFd Dial(const ShmOffer& offer) {
    auto socket = ConnectShmSocket(offer.socket_path, Clock::Real(),
                                   Clock::Real()->Now() + seconds(60));
    EXPECT_TRUE(socket.ok()) << socket.status();
    return *std::move(socket);
  }
  // Polls until nothing is left to do.
  void Settle() {
    for (int i = 0; i < 6; ++i) server_->Poll(0, milliseconds(0));
  }
  absl::StatusOr<ShmWelcome> TakeWelcome(RawClient* client) {
    std::array<char, kShmPacketBytesMax> buffer;
    const auto packet = ReceiveShmPacket(client->socket.get(), buffer, &client->fds);
    if (!packet.ok()) return packet.status();
    return DecodeShmWelcome(*packet);
  }
  RawClient Join(LaneId lane = kLane) {
    const ShmOffer offer = Offer(lane);
    RawClient client{.socket = Dial(offer)};
    EXPECT_TRUE(
        SendShmPacket(client.socket.get(), EncodeShm(ShmGreet{offer.nonce})).ok());
    Settle();
    const auto welcome = TakeWelcome(&client);
    EXPECT_TRUE(welcome.ok()) << welcome.status();
    EXPECT_EQ(client.fds.size(), 2u);
    client.ring = *ShmMapping::Map(
        client.fds[0].get(),
        {.size_bytes = kRingBytes, .mode = ShmMapping::Mode::kReadWrite});
    return client;
  }
  Token Grant(uint64_t size_bytes, LaneId lane = kLane) {
    return gate_.Grant({.session = kSession,
                        .lane = lane,
                        .access = Access::kWrite,
                        .size_bytes = size_bytes});
  }
  static absl::Status Put(RawClient* client, const Token& token, uint64_t ring_offset,
                          uint32_t length) {
    const ShmPut put{.sequence = ++client->sequence,
                     .block_bytes = token.extent.size_bytes,
                     .ring_offset_bytes = ring_offset,
                     .length_bytes = length,
                     .sealed = token.sealed};
    return SendShmPacket(client->socket.get(), EncodeShm(put));
  }
  static std::optional<ShmAck> TakeAck(RawClient* client) {
    std::array<char, kShmPacketBytesMax> buffer;
    const auto packet = ReceiveShmPacket(client->socket.get(), buffer);
    if (!packet.ok() || packet->empty()) return std::nullopt;
    return *DecodeShmAck(*packet);
  }
  // A client that keeps to the rules is served: the server is alive and well.
  void ExpectServes() {
    const LaneId lane{next_good_lane_++};
    RawClient client = Join(lane);
    const Token token = Grant(1000, lane);
    std::memset(client.ring.writable_bytes().data(), 5, 1000);
    ASSERT_TRUE(Put(&client, token, 0, 1000).ok());
    Settle();
    const std::optional<ShmAck> ack = TakeAck(&client);
    ASSERT_TRUE(ack.has_value());
    EXPECT_EQ(ack->code, absl::StatusCode::kOk);
    EXPECT_EQ(gate_.Bytes(token)[999], std::byte{5});
  }
  // Runs `body` in a child while this process polls; returns the child's wait status.
  int InChild(const std::function<int()>& body) {
    const pid_t child = fork();
    if (child == 0) _exit(body());
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) server_->Poll(0, milliseconds(2));
    Settle();
    return status;
  }
  // Why this process cannot play another user's; empty if it can.
  std::string WhyNoOtherUser() {
    if (geteuid() != 0) return "only root can become another user";
    const int status = InChild([&] {
      if (setgid(kNobody) != 0 || setuid(kNobody) != 0) return 1;
      return access(directory_.parent().c_str(), X_OK) == 0 ? 0 : 2;
    });
    if (WEXITSTATUS(status) == 0) return "";
    return "no other user gets to " + directory_.parent() + " here: is / closed to them?";
  }

  FakeGate gate_{4 * kMiB};
  ManualClock clock_;
  const ShmTestDirectory directory_;
  std::unique_ptr<ServerTransport> server_;
  uint64_t next_good_lane_ = 1000;
};

TEST_F(ShmHostileTest, AWelcomedClientIsServed) { ExpectServes(); }

TEST_F(ShmHostileTest, AWrongNonceIsRefusedAndTheRightOneStillWorks) {
  const ShmOffer offer = Offer();
  RawClient wrong{.socket = Dial(offer)};
  ASSERT_TRUE(
      SendShmPacket(wrong.socket.get(), EncodeShm(ShmGreet{RandomShmNonce()})).ok());
  Settle();
  EXPECT_TRUE(absl::IsUnavailable(TakeWelcome(&wrong).status()));
  EXPECT_TRUE(wrong.fds.empty());
  EXPECT_TRUE(ShmPeerGone(wrong.socket.get()));

  RawClient right{.socket = Dial(offer)};
  ASSERT_TRUE(SendShmPacket(right.socket.get(), EncodeShm(ShmGreet{offer.nonce})).ok());
  Settle();
  EXPECT_TRUE(TakeWelcome(&right).ok());
}

TEST_F(ShmHostileTest, AnOfferExpires) {
  const ShmOffer offer = Offer();
  RawClient client{.socket = Dial(offer)};
  Settle();
  clock_.Advance(seconds(10));
  ASSERT_TRUE(SendShmPacket(client.socket.get(), EncodeShm(ShmGreet{offer.nonce})).ok());
  Settle();
  EXPECT_FALSE(TakeWelcome(&client).ok());
  EXPECT_EQ(server_->stats().lanes, 0u);
}

TEST_F(ShmHostileTest, WhoSaysNothingIsShownTheDoor) {
  const UniqueFd silent = Dial(Offer());
  Settle();
  EXPECT_FALSE(ShmPeerGone(silent.get()));
  clock_.Advance(seconds(5));
  Settle();
  EXPECT_TRUE(ShmPeerGone(silent.get()));
  ExpectServes();
}

TEST_F(ShmHostileTest, PacketsThatAreNoneEndTheirLaneAlone) {
  std::mt19937_64 random(7);
  RawClient good = Join(LaneId{50});
  for (int round = 0; round < 60; ++round) {
    RawClient bad = Join(LaneId{100u + round});
    std::string packet(1 + random() % (kShmPacketBytesMax + 50), '\0');
    for (char& byte : packet) byte = static_cast<char>(random());
    if (round % 3 == 0) packet = EncodeShm(ShmGreet{RandomShmNonce()});
    ASSERT_TRUE(SendShmPacket(bad.socket.get(), packet).ok());
    Settle();
    EXPECT_TRUE(ShmPeerGone(bad.socket.get())) << round;
  }
  EXPECT_EQ(server_->stats().lanes, 1u);
  EXPECT_EQ(server_->stats().refused_frames_total, 60u);
  EXPECT_FALSE(ShmPeerGone(good.socket.get()));
  ExpectServes();
}

TEST_F(ShmHostileTest, PacketsThatAreNoneEndAHandshake) {
  std::mt19937_64 random(8);
  for (int round = 0; round < 30; ++round) {
    const UniqueFd socket = Dial(Offer());
    std::string packet(1 + random() % 100, '\0');
    for (char& byte : packet) byte = static_cast<char>(random());
    ASSERT_TRUE(SendShmPacket(socket.get(), packet).ok());
    Settle();
    EXPECT_TRUE(ShmPeerGone(socket.get())) << round;
  }
  ExpectServes();
}

TEST_F(ShmHostileTest, APutThatLeavesTheRingEndsTheLaneAndMovesNothing) {
  RawClient client = Join();
  const Token token = Grant(1000);
  ASSERT_TRUE(Put(&client, token, kRingBytes - 999, 1000).ok());
  Settle();
  EXPECT_TRUE(ShmPeerGone(client.socket.get()));
  EXPECT_EQ(gate_.admitted(), 0u);
  ExpectServes();
}

TEST_F(ShmHostileTest, PunchingHolesIntoTheRingYieldsZerosNotSignals) {
  RawClient client = Join();
  std::memset(client.ring.writable_bytes().data(), 9, kRingBytes);
  ASSERT_EQ(fallocate(client.fds[0].get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      kRingBytes),
            0);
  const Token token = Grant(1000);
  ASSERT_TRUE(Put(&client, token, 0, 1000).ok());
  Settle();
  EXPECT_EQ(TakeAck(&client)->code, absl::StatusCode::kOk);
  EXPECT_EQ(gate_.Bytes(token)[0], std::byte{0});
}

TEST_F(ShmHostileTest, WhoNeverReadsItsAnswersIsDropped) {
  RawClient client = Join();
  const Token token = Grant(1000);
  absl::Status sent;
  for (int i = 0; i < 100'000 && sent.ok(); ++i) {
    sent = Put(&client, token, 0, 1000);
    server_->Poll(0, milliseconds(0));
  }
  EXPECT_TRUE(absl::IsUnavailable(sent)) << sent;
  EXPECT_EQ(server_->stats().lanes, 0u);
  ExpectServes();
}

TEST_F(ShmHostileTest, DescriptorsSentToTheServerAreNotKept) {
  RawClient client = Join();
  const int next_free = dup(0);
  close(next_free);
  const std::vector<int> junk(50, client.socket.get());
  const Token token = Grant(1000);
  const ShmPut put{
      .sequence = 1, .block_bytes = 1000, .length_bytes = 1000, .sealed = token.sealed};
  ASSERT_TRUE(SendShmPacket(client.socket.get(), EncodeShm(put), junk).ok());
  Settle();
  EXPECT_EQ(TakeAck(&client)->code, absl::StatusCode::kOk);
  const int still_free = dup(0);
  close(still_free);
  EXPECT_EQ(still_free, next_free);
}

TEST_F(ShmHostileTest, RunningOutOfDescriptorsPausesAndRecovers) {
  const ShmOffer offer = Offer();
  RawClient client{.socket = Dial(offer)};
  ASSERT_TRUE(SendShmPacket(client.socket.get(), EncodeShm(ShmGreet{offer.nonce})).ok());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next_free = dup(0);
  close(next_free);
  const rlimit none{static_cast<rlim_t>(next_free), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  Settle();
  const rlimit one{static_cast<rlim_t>(next_free + 1), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &one), 0);
  Settle();
  EXPECT_FALSE(ShmPeerGone(client.socket.get())) << "it waits in the queue";
  clock_.Advance(milliseconds(100));  // Enough for the socket, not for its ring.
  Settle();
  EXPECT_TRUE(ShmPeerGone(client.socket.get()));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(absl::IsResourceExhausted(TakeWelcome(&client).status()));
  EXPECT_EQ(server_->stats().lanes, 0u);
  clock_.Advance(milliseconds(100));
  Settle();
  ExpectServes();
}

TEST_F(ShmHostileTest, AClientKilledInTheMiddleOfAPutLeavesNothingBehind) {
  const ShmOffer offer = Offer();
  const Token token = Grant(kRingBytes);
  const int status = InChild([&] {
    const UniqueFd socket = Dial(offer);
    RawClient client{.socket = UniqueFd(dup(socket.get()))};
    SendShmPacket(client.socket.get(), EncodeShm(ShmGreet{offer.nonce})).IgnoreError();
    AwaitShmPacket(client.socket.get(), Clock::Real(), Clock::Real()->Now() + seconds(60))
        .IgnoreError();
    if (!TakeWelcome(&client).ok()) return 1;
    // Half of the block, and one answer to know that the server is at it.
    Put(&client, token, 0, kRingBytes / 2).IgnoreError();
    AwaitShmPacket(client.socket.get(), Clock::Real(), Clock::Real()->Now() + seconds(60))
        .IgnoreError();
    kill(getpid(), SIGKILL);
    return 2;
  });
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(gate_.admitted(), 1u);
  EXPECT_EQ(server_->stats().lanes, 0u);
  EXPECT_EQ(gate_.observed_checksum(token.lease), std::nullopt);
  ExpectServes();
}

// 0 if a process of `uid` is welcomed, 10 if its connect fails, 11 if it is refused for
// who it is, 12 for any other answer.
int ConnectAs(uid_t uid, const ShmOffer& offer) {
  if (setgid(uid) != 0 || setuid(uid) != 0) return 20;
  const Instant deadline = Clock::Real()->Now() + seconds(60);
  const auto socket = ConnectShmSocket(offer.socket_path, Clock::Real(), deadline);
  if (!socket.ok()) return absl::IsFailedPrecondition(socket.status()) ? 10 : 13;
  SendShmPacket(socket->get(), EncodeShm(ShmGreet{offer.nonce})).IgnoreError();
  AwaitShmPacket(socket->get(), Clock::Real(), deadline).IgnoreError();
  std::array<char, kShmPacketBytesMax> buffer;
  std::vector<UniqueFd> fds;
  auto packet = ReceiveShmPacket(socket->get(), buffer, &fds);
  if (!packet.ok()) packet = ReceiveShmPacket(socket->get(), buffer, &fds);
  if (!packet.ok()) return 12;
  const auto welcome = DecodeShmWelcome(*packet);
  if (welcome.ok()) return fds.size() == 2 ? 0 : 14;
  return absl::IsFailedPrecondition(welcome.status()) && fds.empty() ? 11 : 12;
}

TEST_F(ShmHostileTest, AnotherUserCannotEvenReachTheSocket) {
  if (const std::string why = WhyNoOtherUser(); !why.empty()) GTEST_SKIP() << why;
  const ShmOffer offer = Offer();
  const int status = InChild([&] { return ConnectAs(kNobody, offer); });
  EXPECT_EQ(WEXITSTATUS(status), 10);
}

TEST_F(ShmHostileTest, OfOtherUsersOnlyThoseAllowedAreWelcome) {
  if (const std::string why = WhyNoOtherUser(); !why.empty()) GTEST_SKIP() << why;
  Restart({12345});
  const ShmOffer offer = Offer();
  EXPECT_EQ(WEXITSTATUS(InChild([&] { return ConnectAs(kNobody, offer); })), 11);
  EXPECT_EQ(server_->stats().refused_frames_total, 1u);
  EXPECT_EQ(WEXITSTATUS(InChild([&] { return ConnectAs(12345, offer); })), 0);
  EXPECT_EQ(server_->stats().lanes, 0u) << "the child has gone";
}

}  // namespace
}  // namespace kvasir
