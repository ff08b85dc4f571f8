// rdma from end to end: the real kvasird and the real `kvasir` over the devices of a host
// that has some, or the words that both find where there is none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "client/client.h"
#include "tests/integration/cli_process.h"
#include "tests/rdma/verbs_ends.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr char kTrace[] = "tools/traces/conversations.jsonl";

std::string Joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

// One server for all cases: a program takes seconds to start under emulation.
class VerbsIntegration : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const VerbsEnds ends = VerbsEnds::Find();
    if (ends.empty()) return;
    auto server = ServerProcess::Start(
        {.flags = {"--transport=rdma", "--rdma_device=" + Joined(ends.left)}});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  static void TearDownTestSuite() { server_.reset(); }
  void SetUp() override {
    ends_ = VerbsEnds::Find();
    if (ends_.empty()) GTEST_SKIP() << "no RDMA device";
    ASSERT_NE(server_, nullptr);
  }

  CliProcess::Result Kvasir(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--timeout", "60s"});
    return CliProcess::Run(server_->listen(), arguments);
  }
  // The answer of a command that moves bytes over rdma.
  json Over(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-o", "json", "--transport", "rdma", "--rdma_device",
                                       Joined(ends_.right)});
    const CliProcess::Result result = Kvasir(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  }
  // What the server's metrics are now, by name and labels.
  json Metrics() {
    return json::parse(Kvasir({"info", "-o", "json"}).out, nullptr,
                       /*allow_exceptions=*/false)["stats"];
  }
  std::string Path(const std::string& name) const { return server_->directory() + "/" + name; }

  static inline std::unique_ptr<ServerProcess> server_;
  VerbsEnds ends_;
};

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST_F(VerbsIntegration, TheServerSaysWhichDevicesItUses) {
  EXPECT_THAT(server_->log(), HasSubstr("rdma: " + ends_.left[0] + " port 1, RoCE v2"));
  EXPECT_THAT(server_->ready_json(), HasSubstr("\"transports\":[\"rdma\"]"));
}

TEST_F(VerbsIntegration, BlocksGoInAndComeOut) {
  std::string bytes;
  for (size_t i = 0; i < 3'000'001; ++i) bytes.push_back(static_cast<char>(i * 31 + i / 251));
  std::ofstream(Path("in"), std::ios::binary) << bytes;
  EXPECT_EQ(Over({"put", "key", Path("in")})["transport"], "rdma");
  EXPECT_EQ(Over({"get", "key", Path("out")})["transport"], "rdma");
  EXPECT_EQ(ReadFile(Path("out")), bytes);
}

TEST_F(VerbsIntegration, ATraceIsReplayedAndEveryByteIsRight) {
  const json report = Over({"replay", kTrace, "--block_bytes", "16KiB", "--requests", "40"});
  EXPECT_EQ(report["transport"], "rdma");
  EXPECT_EQ(report["mismatches"], 0) << report;
  EXPECT_EQ(report["put_failures"], 0) << report;
  EXPECT_EQ(report["bytes_verified"], report["bytes_got"]);
}

TEST_F(VerbsIntegration, GetsAndPutsAskBesideTheirBytesAndRemovalsOverGrpc) {
  const auto messages = [this] {
    return Metrics().value("transport_messages_total{transport=\"rdma\"}", -1.0);
  };
  std::ofstream(Path("in"), std::ios::binary) << std::string(100'000, 'x');
  const double before = messages();
  EXPECT_EQ(Over({"put", "asked", Path("in")})["transport"], "rdma");
  const double put = messages();
  EXPECT_GE(put, before + 2);  // a grant and a commit
  EXPECT_EQ(Over({"get", "asked", Path("out")})["transport"], "rdma");
  const double got = messages();
  EXPECT_GT(got, put);
  EXPECT_EQ(Kvasir({"rm", "asked"}).exit_code, 0);
  EXPECT_EQ(messages(), got);
}

// The NIC alone would tell of it 1.7 s after the next request, and of an answer that does not
// come never.
TEST_F(VerbsIntegration, AGetFromAServerThatWasKilledIsAMissLongBeforeItsDeadline) {
  auto server = ServerProcess::Start(
      {.flags = {"--transport=rdma", "--rdma_device=" + Joined(ends_.left)}});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto client = Client::Connect({.nodes = {(*server)->listen()},
                                       .transport = TransportChoice::kRdma,
                                       .timeout = std::chrono::minutes(2),
                                       .connect_timeout = std::chrono::minutes(1),
                                       .rdma_device = Joined(ends_.right)});
  ASSERT_TRUE(client.ok()) << client.status();
  std::string bytes(100'000, 'x'), got(bytes.size(), '.');
  const std::span<const std::byte> payload = std::as_bytes(std::span(bytes));
  const std::span<std::byte> target = std::as_writable_bytes(std::span(got));
  const PutItem put{"key", std::span(&payload, 1), {}};
  const GetItem get{"key", std::span(&target, 1)};
  ASSERT_TRUE((*client)->Put(std::span(&put, 1), {})[0].ok());
  ASSERT_TRUE((*client)->Get(std::span(&get, 1), {})[0].ok());
  EXPECT_EQ(got, bytes);
  (*server)->Signal(SIGKILL);
  ASSERT_TRUE((*server)->WaitForExit().ok());
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(absl::IsNotFound((*client)->Get(std::span(&get, 1), {})[0]));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::minutes(1));
}

TEST_F(VerbsIntegration, TheBenchmarkRuns) {
  const json report = Over({"bench", "--block_bytes", "256KiB", "--keys", "4", "--seconds",
                            "1", "--concurrency", "2"});
  EXPECT_EQ(report["transport"], "rdma");
}

TEST_F(VerbsIntegration, ALargeBatchIsSpreadOverLanesAndRailsAndEveryByteIsRight) {
  const json before = Metrics();
  const json report =
      Over({"bench", "--block_bytes", "1MiB", "--keys", "9", "--seconds", "1"});
  const json after = Metrics();
  EXPECT_EQ(report["get"]["mismatches"], 0) << report;
  EXPECT_EQ(report["get"]["failures"], 0) << report;
  EXPECT_EQ(report["put"]["failures"], 0) << report;
  for (const std::string& device : ends_.left) {
    for (const std::string direction : {"in", "out"}) {
      const std::string name = "rdma_port_packets_total{device=\"" + device +
                               "\",direction=\"" + direction + "\"}";
      // At least a MiB of the nine, in packets of at most 4 KiB.
      EXPECT_GE(after.value(name, 0.0), before.value(name, 0.0) + 256) << name;
    }
  }
}

TEST_F(VerbsIntegration, NothingElseIsTriedWhereRdmaIsAskedFor) {
  for (const std::string transport : {"tcp", "shm"}) {
    const CliProcess::Result other = Kvasir({"get", "key", "--transport", transport});
    EXPECT_NE(other.exit_code, 0);
    EXPECT_THAT(other.err, HasSubstr("not offered"));
  }
  const CliProcess::Result missing =
      Kvasir({"get", "key", "--transport", "rdma", "--rdma_device", "nosuch0"});
  EXPECT_NE(missing.exit_code, 0);
  EXPECT_THAT(missing.err, HasSubstr("there is no device nosuch0 here"));
}

TEST_F(VerbsIntegration, AServerOfADeviceThatIsNotThereDoesNotStart) {
  const auto server = ServerProcess::Start({.flags = {"--rdma_device=nosuch0"}});
  EXPECT_THAT(server.status().ToString(), HasSubstr("there is no device nosuch0 here"));
}

TEST(VerbsWithoutDevices, RdmaFailsClosedAndAutoGoesOn) {
  if (!VerbsEnds::Find().empty()) GTEST_SKIP() << "this host has RDMA devices";
  const auto closed = ServerProcess::Start({.flags = {"--transport=rdma"}});
  EXPECT_THAT(closed.status().ToString(), HasSubstr("no RDMA device"));
  const auto server = ServerProcess::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT((*server)->log(), HasSubstr("transport rdma is not offered"));
  const CliProcess::Result client =
      CliProcess::Run((*server)->listen(), {"get", "key", "--transport", "rdma"});
  EXPECT_NE(client.exit_code, 0);
  EXPECT_THAT(client.err, HasSubstr("no transport works; rdma: not offered"));
}

}  // namespace
}  // namespace kvasir
