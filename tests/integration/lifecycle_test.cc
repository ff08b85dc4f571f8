// Starting and stopping the real server: what goes wrong, and how it drains.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "base/limits.h"
#include "base/status_reason.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/integration/raw_session.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

namespace health = grpc::health::v1;
using testing::HasSubstr;

std::unique_ptr<ServerProcess> StartServer(std::vector<std::string> flags = {}) {
  auto started = ServerProcess::Start({.flags = std::move(flags)});
  EXPECT_TRUE(started.ok()) << started.status();
  return started.ok() ? *std::move(started) : nullptr;
}

TEST(Lifecycle, TheReadyFileNamesRealAddressesAndGoesWithTheServer) {
  const auto server = StartServer();
  EXPECT_THAT(server->ready_json(), HasSubstr("\"node_name\":\"test\""));
  EXPECT_THAT(server->ready_json(),
              HasSubstr("\"pid\":" + std::to_string(server->pid())));
  for (const std::string& address :
       {server->listen(), server->data_listen(), server->http_listen()}) {
    EXPECT_THAT(address, testing::MatchesRegex("127\\.0\\.0\\.1:[1-9][0-9]*"));
  }
  server->Signal(SIGTERM);
  EXPECT_EQ(*server->WaitForExit(), 0);
  EXPECT_FALSE(std::filesystem::exists(server->directory() + "/ready.json"));
}

TEST(Lifecycle, SigintDrainsToo) {
  const auto server = StartServer();
  server->Signal(SIGINT);
  EXPECT_EQ(*server->WaitForExit(), 0);
  EXPECT_THAT(server->log(), HasSubstr("drained"));
}

TEST(Lifecycle, TheBannerShowsTheEffectiveConfiguration) {
  const auto server = StartServer({"--lease_ttl=700ms"});
  const std::string log = server->log();
  EXPECT_THAT(log, testing::ContainsRegex("lease_ttl +700ms +flag"));
  EXPECT_THAT(log, testing::ContainsRegex("eviction_policy +s3fifo +default"));
  EXPECT_THAT(log, HasSubstr("grpc " + server->listen()));
}

TEST(Lifecycle, APortInUseIsSaidAndNotShared) {
  const auto server = StartServer();
  const std::pair<std::string, std::string> ports[] = {
      {"listen", server->listen()},
      {"data_listen", server->data_listen()},
      {"http_listen", server->http_listen()}};
  for (const auto& [name, address] : ports) {
    const auto second = ServerProcess::Start({.flags = {"--" + name + "=" + address}});
    ASSERT_EQ(second.status().code(), absl::StatusCode::kAborted) << name;
    EXPECT_THAT(second.status().ToString(), HasSubstr("kvasird: " + name + ":"));
    EXPECT_THAT(second.status().ToString(), HasSubstr("in use"));
  }
}

TEST(Lifecycle, WrongFlagsAreAUsageErrorWithTheReason) {
  const auto run = RunServer({"--lisen=127.0.0.1:0"});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->exit_code, 2);
  EXPECT_THAT(run->output, HasSubstr("did you mean --listen?"));
  EXPECT_EQ(RunServer({}, {"KVASIR_MEMORY=lots"})->exit_code, 2);
  EXPECT_EQ(RunServer({"--listen=0.0.0.0:0"})->exit_code, 2);
  EXPECT_EQ(RunServer({"--transport=carrier"})->exit_code, 2);
}

TEST(Lifecycle, HelpAndVersionEndWell) {
  const auto help = RunServer({"--help"});
  EXPECT_EQ(help->exit_code, 0);
  EXPECT_THAT(help->output, HasSubstr("--data_listen HOST:PORT"));
  const auto version = RunServer({"--version"});
  EXPECT_EQ(version->exit_code, 0);
  EXPECT_THAT(version->output,
              testing::MatchesRegex("kvasird [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Lifecycle, MemoryThatCannotBeHadIsAnErrorWithNumbers) {
  const auto run = RunServer({"--listen=127.0.0.1:0", "--memory=8EiB"});
  EXPECT_EQ(run->exit_code, 2);
  EXPECT_THAT(run->output, HasSubstr("--memory"));
}

TEST(Lifecycle, TheFileAndTheEnvironmentConfigureARealServer) {
  const std::string path = testing::TempDir() + "/kvasird.yaml";
  std::ofstream(path) << "eviction_policy: lru\nlease_ttl: 2s\n";
  auto server = ServerProcess::Start(
      {.flags = {"--config=" + path}, .environment = {"KVASIR_LEASE_TTL=3s"}});
  ASSERT_TRUE(server.ok()) << server.status();
  RawSession session((*server)->listen());
  EXPECT_EQ(session.opened().lease_ttl_ms(), 3'000u);
  v1::GetNodeInfoResponse info;
  ASSERT_TRUE(session.stubs().admin->GetNodeInfo(NewContext().get(), {}, &info).ok());
  EXPECT_EQ(info.eviction_policy(), "lru");
}

TEST(Lifecycle, OneTransportAloneIsOfferedAlone) {
  const auto tcp = StartServer({"--transport=tcp"});
  EXPECT_THAT(RawSession(tcp->listen()).opened().transports(),
              testing::ElementsAre(v1::TRANSPORT_KIND_TCP));
  const auto shm = StartServer({"--transport=shm"});
  EXPECT_THAT(RawSession(shm->listen()).opened().transports(),
              testing::ElementsAre(v1::TRANSPORT_KIND_SHM));
  EXPECT_EQ(shm->data_listen(), "");
}

// A grant is open when the drain begins: new ones are refused, it commits, and then the
// server ends.
TEST(Lifecycle, ADrainRefusesGrantsAndFinishesCommits) {
  const auto server = StartServer({"--lease_ttl=30s"});
  RawSession session(server->listen());
  RawLane lane(&session);
  ASSERT_TRUE(lane.Open().ok());
  const absl::StatusOr<v1::WriteGrant> grant = lane.Grant("last", 5);
  ASSERT_TRUE(grant.ok()) << grant.status();

  const auto watch_context = NewContext();
  const auto watch = session.stubs().cluster->WatchCluster(watch_context.get(), {});
  v1::WatchClusterResponse cluster;
  ASSERT_TRUE(watch->Read(&cluster));
  EXPECT_FALSE(cluster.nodes(0).draining());
  server->Signal(SIGTERM);
  ASSERT_TRUE(watch->Read(&cluster));
  EXPECT_TRUE(cluster.nodes(0).draining());
  EXPECT_EQ(cluster.version(), 2u);

  EXPECT_EQ(ReasonOf(lane.Grant("too late", 5).status()), kReasonDraining);
  v1::OpenSessionResponse refused;
  EXPECT_EQ(ReasonIn(session.stubs().kv->OpenSession(NewContext().get(), {}, &refused)),
            kReasonDraining);
  health::HealthCheckResponse check;
  health::Health::NewStub(session.stubs().channel)->Check(NewContext().get(), {}, &check);
  EXPECT_EQ(check.status(), health::HealthCheckResponse::NOT_SERVING);
  const HttpAnswer ready = HttpGet(server->http_listen(), "/readyz");
  EXPECT_EQ(ready.status, 503);
  EXPECT_THAT(ready.body, HasSubstr("DRAINING"));
  EXPECT_EQ(HttpGet(server->http_listen(), "/healthz").status, 200);

  ASSERT_EQ(lane.Fill(*grant, "value"), absl::OkStatus());
  EXPECT_EQ(lane.Commit(*grant, "last", "value"), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(*server->WaitForExit(), 0);
}

TEST(Lifecycle, ADrainLetsAnUncommittedGrantLapse) {
  const auto server = StartServer();
  RawSession session(server->listen());
  RawLane lane(&session);
  ASSERT_TRUE(lane.Open().ok());
  ASSERT_TRUE(lane.Grant("forgotten", 5, /*ttl_ms=*/300).ok());
  server->Signal(SIGTERM);
  EXPECT_EQ(*server->WaitForExit(), 0);
}

TEST(Lifecycle, AHeartbeatTellsOfTheDrain) {
  const auto server = StartServer({"--lease_ttl=30s"});
  RawSession session(server->listen());
  RawLane lane(&session);
  ASSERT_TRUE(lane.Open().ok());
  ASSERT_TRUE(lane.Grant("keeps it draining", 5).ok());
  v1::DrainResponse drain;
  ASSERT_TRUE(session.stubs().admin->Drain(NewContext().get(), {}, &drain).ok());
  const auto context = NewContext();
  const auto heartbeat = session.stubs().kv->Heartbeat(context.get());
  v1::HeartbeatRequest beat;
  beat.set_session(session.id());
  heartbeat->Write(beat);
  v1::HeartbeatResponse answer;
  ASSERT_TRUE(heartbeat->Read(&answer));
  EXPECT_TRUE(answer.draining());
}

TEST(Lifecycle, DrainByAdminServiceEndsTheServer) {
  const auto server = StartServer();
  RawStubs stubs(server->listen());
  v1::DrainResponse drain;
  ASSERT_TRUE(stubs.admin->Drain(NewContext().get(), {}, &drain).ok());
  EXPECT_EQ(*server->WaitForExit(), 0);
}

TEST(Lifecycle, ASecondSignalStopsAtOnce) {
  const auto server = StartServer({"--lease_ttl=30s"});
  RawSession session(server->listen());
  RawLane lane(&session);
  ASSERT_TRUE(lane.Open().ok());
  ASSERT_TRUE(lane.Grant("never", 5).ok());
  const Instant begin = Clock::Real()->Now();
  server->Signal(SIGTERM);
  // The first has been seen once readiness is gone.
  while (HttpGet(server->http_listen(), "/readyz").status == 200) {
  }
  server->Signal(SIGTERM);
  EXPECT_EQ(*server->WaitForExit(), 1);
  EXPECT_LT(Clock::Real()->Now() - begin, std::chrono::seconds(25));
  EXPECT_THAT(server->log(), HasSubstr("second signal"));
}

TEST(Lifecycle, LaneAndHeartbeatStreamsDoNotHoldUpTheEnd) {
  const auto server = StartServer();
  RawSession session(server->listen());
  RawLane lane(&session);
  ASSERT_TRUE(lane.Open().ok());
  ASSERT_EQ(lane.Put("k", "v"), absl::OkStatus());
  server->Signal(SIGTERM);
  EXPECT_EQ(*server->WaitForExit(), 0);
  EXPECT_EQ(lane.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace kvasir
