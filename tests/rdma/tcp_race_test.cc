// Threads that push, run, fence and hang up on the same lanes at once: for the sanitizers
// as much as for the assertions.
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "base/executor.h"
#include "base/limits.h"
#include "gtest/gtest.h"
#include "rdma/tcp_client.h"
#include "rdma/tcp_server.h"
#include "tests/support/fake_gate.h"
#include "tests/support/server_loops.h"

namespace kvasir {
namespace {

constexpr SessionId kSession{.high = 1, .low = 2};
constexpr std::chrono::seconds kPatience{60};
constexpr uint64_t kBlockBytes = 32 * kKiB;
constexpr size_t kBlocks = 4;

class TcpRace : public testing::Test {
 protected:
  TcpRace() {
    auto server = TcpServer::Create({.loops = 2}, &gate_, Clock::Real());
    KV_CHECK(server.ok());
    server_ = *std::move(server);
    loops_ = std::make_unique<ServerLoops>(server_.get());
  }

  static Instant Late() { return Clock::Real()->Now() + kPatience; }
  std::unique_ptr<Lane> Open(LaneId id) {
    auto lane = client_.Connect(
        [&](std::string_view hello) { return server_->Accept(kSession, id, hello); }, Late());
    KV_CHECK(lane.ok());
    return *std::move(lane);
  }
  std::vector<Token> Grant(LaneId lane, Access access) {
    std::vector<Token> tokens;
    for (size_t i = 0; i < kBlocks; ++i) {
      tokens.push_back(gate_.Grant({.session = kSession,
                                    .lane = lane,
                                    .access = access,
                                    .size_bytes = kBlockBytes}));
    }
    return tokens;
  }
  static std::vector<ServerTransport::PushItem> Items(const std::vector<Token>& tokens) {
    std::vector<ServerTransport::PushItem> items;
    for (const Token& token : tokens) items.push_back(FakeGate::PushItemOf(token));
    return items;
  }
  static std::unique_ptr<ThreadPool> Thread() {
    return std::make_unique<ThreadPool>(ThreadPool::Options{.name = "racer"});
  }

  FakeGate gate_{16 * kMiB};
  std::unique_ptr<TcpServer> server_;
  TcpClient client_{{}, Clock::Real()};
  std::unique_ptr<ServerLoops> loops_;
};

// Runs `tokens` as one batch; true if all arrived.
bool RunBatch(Lane& lane, std::vector<Token> tokens, bool pushed, Instant deadline) {
  std::vector<std::byte> memory(kBlocks * kBlockBytes);
  std::vector<std::span<std::byte>> slices;
  std::vector<Transfer> batch;
  for (size_t i = 0; i < kBlocks; ++i) {
    slices.push_back(std::span(memory).subspan(i * kBlockBytes, kBlockBytes));
  }
  for (size_t i = 0; i < kBlocks; ++i) {
    tokens[i].pushed = pushed;
    batch.push_back({.token = tokens[i], .local = std::span(&slices[i], 1)});
  }
  lane.Run(batch, deadline);
  bool all = true;
  for (const Transfer& transfer : batch) all = all && transfer.status.ok();
  return all;
}

TEST_F(TcpRace, PushesFencesAndHangUpsMeetOnManyLanes) {
  constexpr uint64_t kRounds = 40;
  std::atomic<int> fences_done = 0;
  for (uint64_t round = 1; round <= kRounds; ++round) {
    gate_.Reset();
    const LaneId id{round};
    std::unique_ptr<Lane> lane = Open(id);
    const std::vector<Token> tokens = Grant(id, Access::kRead);
    std::atomic<bool> stop = false;
    std::unique_ptr<ThreadPool> pusher = Thread();
    std::unique_ptr<ThreadPool> runner = Thread();
    const uint64_t admitted = gate_.admitted();
    ASSERT_TRUE(pusher->Submit([&] {
      while (!stop) {
        std::vector<ServerTransport::PushItem> items = Items(tokens);
        if (!server_->Push(kSession, id, items) && server_->stats().lanes == 0) return;
      }
    }));
    ASSERT_TRUE(runner->Submit([&] {
      while (RunBatch(*lane, tokens, /*pushed=*/true, Late())) {
      }
      if (round % 2 == 0) lane.reset();
    }));
    ASSERT_TRUE(gate_.AwaitAdmitted(admitted + round % 7, kPatience));
    absl::Notification done;
    server_->Fence({.session = kSession, .lane = id}, [&] {
      ++fences_done;
      done.Notify();
    });
    ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
    std::vector<ServerTransport::PushItem> items = Items(tokens);
    EXPECT_FALSE(server_->Push(kSession, id, items));
    stop = true;
    pusher.reset();
    runner.reset();
    EXPECT_EQ(server_->stats().lanes, 0u);
  }
  EXPECT_EQ(fences_done, static_cast<int>(kRounds));
}

TEST_F(TcpRace, APushAndRequestsOfTheSameLaneDoNotTearEachOther) {
  const LaneId id{1};
  const std::unique_ptr<Lane> lane = Open(id);
  const std::vector<Token> reads = Grant(id, Access::kRead);
  const std::vector<Token> writes = Grant(id, Access::kWrite);
  for (int round = 0; round < 200; ++round) {
    // The acks of the writes and the pushed blocks leave from two threads.
    std::unique_ptr<ThreadPool> pusher = Thread();
    ASSERT_TRUE(RunBatch(*lane, writes, /*pushed=*/false, Late()));
    ASSERT_TRUE(pusher->Submit([&] {
      std::vector<ServerTransport::PushItem> items = Items(reads);
      EXPECT_TRUE(server_->Push(kSession, id, items));
    }));
    ASSERT_TRUE(RunBatch(*lane, reads, /*pushed=*/true, Late()));
  }
}

TEST_F(TcpRace, AWholeSessionIsFencedWhileItsLanesAreBusy) {
  for (int round = 0; round < 5; ++round) {
    gate_.Reset();
    std::vector<std::unique_ptr<Lane>> lanes;
    std::vector<std::unique_ptr<ThreadPool>> threads;
    const uint64_t admitted = gate_.admitted();
    for (uint64_t i = 1; i <= 6; ++i) {
      const LaneId id{static_cast<uint64_t>(round) * 10 + i};
      lanes.push_back(Open(id));
      const std::vector<Token> tokens =
          Grant(id, i % 2 == 0 ? Access::kRead : Access::kWrite);
      threads.push_back(Thread());
      ASSERT_TRUE(threads.back()->Submit([&lane = *lanes.back(), tokens] {
        while (RunBatch(lane, tokens, /*pushed=*/false, Late())) {
        }
      }));
    }
    ASSERT_TRUE(gate_.AwaitAdmitted(admitted + 50, kPatience));
    absl::Notification done;
    server_->Fence({.session = kSession}, [&] { done.Notify(); });
    ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
    const uint64_t then = gate_.admitted();
    threads.clear();
    EXPECT_EQ(gate_.admitted(), then);
    EXPECT_EQ(server_->stats().lanes, 0u);
    EXPECT_EQ(server_->connections(), 0u);
  }
}

}  // namespace
}  // namespace kvasir
