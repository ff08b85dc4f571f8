// What a client leaves behind when it dies or falls silent with grants in its hands:
// after a while nothing at all, and free plus published memory are the arena exactly.

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <map>
#include <string>

#include "base/clock.h"
#include "tests/integration/grant_holder_process.h"
#include "tests/integration/raw_session.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

class DeadClientTest : public testing::Test {
 protected:
  void StartServer(std::vector<std::string> flags) {
    auto server = ServerProcess::Start({.flags = std::move(flags)});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    RawSession session(server_->listen());
    RawLane lane(&session);
    ASSERT_TRUE(lane.Open().ok());
    ASSERT_TRUE(lane.Put("stored", std::string(50'000, 's')).ok());
    v1::CloseSessionResponse closed;
    ASSERT_TRUE(
        session
            .Call(&v1::KvService::Stub::CloseSession, v1::CloseSessionRequest(), &closed)
            .ok());
  }

  std::map<std::string, double> Stats() {
    RawStubs stubs(server_->listen());
    v1::GetStatsResponse stats;
    EXPECT_TRUE(stubs.admin->GetStats(NewContext().get(), {}, &stats).ok());
    return {stats.values().begin(), stats.values().end()};
  }

  // Of what a client can hold.
  static std::string Held(const std::map<std::string, double>& stats) {
    std::string held;
    for (const char* name : {"sessions", "lanes", "read_leases", "write_leases", "pins",
                             "quarantined_blocks", "reserved_blocks", "unbound_blocks"}) {
      if (stats.at(name) != 0) held += name + std::string(" ");
    }
    return held;
  }

  void ExpectNothingLeftBefore(std::chrono::seconds patience) {
    const Instant end = Clock::Real()->Now() + patience;
    std::map<std::string, double> stats = Stats();
    while (!Held(stats).empty() && Clock::Real()->Now() < end) stats = Stats();
    EXPECT_EQ(Held(stats), "");
    EXPECT_EQ(stats.at("memory_free_bytes") + stats.at("block_bytes"),
              stats.at("memory_capacity_bytes"));
  }

  std::unique_ptr<ServerProcess> server_;
};

TEST_F(DeadClientTest, AKilledClientsGrantsAreGoneLongBeforeTheyRunOut) {
  // Only the end of its streams can tell: silence and expiry are far away.
  StartServer({"--session_silence=60s", "--lease_ttl=30s"});
  GrantHolder holder({server_->listen(), "hold"});
  ASSERT_TRUE(holder.AwaitReady());
  const std::map<std::string, double> before = Stats();
  EXPECT_EQ(before.at("write_leases"), 2);
  EXPECT_EQ(before.at("read_leases"), 1);
  EXPECT_EQ(before.at("pins"), 1);
  EXPECT_EQ(before.at("reserved_blocks"), 2);

  holder.Kill();
  ExpectNothingLeftBefore(std::chrono::seconds(25));
}

TEST_F(DeadClientTest, AClientKilledInTheMiddleOfItsPutsLeavesOnlyWholeBlocks) {
  StartServer({"--session_silence=60s", "--lease_ttl=30s"});
  for (int round = 0; round < 5; ++round) {
    GrantHolder writer({server_->listen(), "write"});
    ASSERT_TRUE(writer.AwaitReady());
    writer.Kill();
    ExpectNothingLeftBefore(std::chrono::seconds(25));
  }
  RawSession session(server_->listen());
  RawLane lane(&session);
  ASSERT_TRUE(lane.Open().ok());
  EXPECT_EQ(lane.Get("stored").value(), std::string(50'000, 's'));
}

TEST_F(DeadClientTest, AStoppedClientLosesEverythingByItsSilence) {
  // Its connections stay open: only silence can tell.
  StartServer({"--lease_ttl=30s"});  // The silence is the default 3 s.
  GrantHolder holder({server_->listen(), "hold"});
  ASSERT_TRUE(holder.AwaitReady());
  holder.Signal(SIGSTOP);
  ExpectNothingLeftBefore(std::chrono::seconds(25));
  EXPECT_EQ(Stats().at("expired_sessions_total"), 1);
}

TEST_F(DeadClientTest, GrantsOfAClientThatLivesRunOutAndAreFenced) {
  StartServer({"--session_silence=60s", "--lease_ttl=500ms"});
  GrantHolder holder({server_->listen(), "hold"});
  ASSERT_TRUE(holder.AwaitReady());
  const Instant end = Clock::Real()->Now() + std::chrono::seconds(25);
  std::map<std::string, double> stats = Stats();
  while (stats.at("reserved_blocks") > 0 && Clock::Real()->Now() < end) stats = Stats();
  EXPECT_EQ(stats.at("write_leases"), 0);
  EXPECT_EQ(stats.at("quarantined_blocks"), 0);
  EXPECT_EQ(stats.at("expired_writes_total"), 2);
  // The session goes on, and with it the pin.
  EXPECT_EQ(stats.at("sessions"), 1);
  EXPECT_EQ(stats.at("pins"), 1);
  EXPECT_EQ(stats.at("memory_free_bytes") + stats.at("block_bytes"),
            stats.at("memory_capacity_bytes"));
}

}  // namespace
}  // namespace kvasir
