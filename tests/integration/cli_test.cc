// Every command and every exit code of `kvasir`, against the real kvasird.
#include <gtest/gtest.h>

#include <signal.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/integration/cli_process.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

using nlohmann::json;

constexpr char kTrace[] = "tools/traces/conversations.jsonl";

class CliIntegration : public ::testing::Test {
 protected:
  void SetUp() override { StartServer({}); }
  void StartServer(const std::vector<std::string>& flags) {
    server_.reset();
    auto server = ServerProcess::Start({.flags = flags});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  CliProcess::Result Kvasir(const std::vector<std::string>& arguments,
                            const std::string& input = "") {
    return CliProcess::Run(server_->listen(), arguments, input);
  }
  // The one JSON object that the command answers with.
  json Json(std::vector<std::string> arguments, int exit_code = 0) {
    arguments.insert(arguments.end(), {"-o", "json"});
    const CliProcess::Result result = Kvasir(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    json object = json::parse(result.out, nullptr, /*allow_exceptions=*/false);
    EXPECT_TRUE(object.is_object()) << result.out << result.err;
    return object;
  }
  std::string Path(const std::string& name) const {
    return server_->directory() + "/" + name;
  }
  // Returns once a client named "kvasir" has a session: no sleep, each look is a command.
  void AwaitFirstPut(CliProcess& process) {
    while (process.Running()) {
      if (Json({"info"})["stats"].value("commits_total", 0.0) > 0) return;
    }
    FAIL() << "it ended before it had put anything: " << process.Wait().err;
  }

  std::unique_ptr<ServerProcess> server_;
};

std::string Bytes(size_t size) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 31 + i / 251));
  return bytes;
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST_F(CliIntegration, AControlSocketServesLikeThePortAndGoesWithTheServer) {
  char folder[] = "/tmp/kvasir-control.XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string socket = std::string(folder) + "/control";
  StartServer({"--control_socket=" + socket});
  for (const std::string transport : {"shm", "tcp"}) {
    const std::string address = "unix:" + socket;
    const auto put = CliProcess::Run(address, {"put", "k", "--transport", transport},
                                     "bytes over " + transport);
    EXPECT_EQ(put.exit_code, 0) << put.err;
    const auto get = CliProcess::Run(address, {"get", "k", "--transport", transport});
    EXPECT_EQ(get.out, "bytes over " + transport) << get.err;
    EXPECT_EQ(CliProcess::Run(address, {"rm", "k"}).exit_code, 0);
  }
  server_->Signal(SIGTERM);
  ASSERT_EQ(server_->WaitForExit().value_or(-1), 0);
  EXPECT_FALSE(std::filesystem::exists(socket));
  const auto lost = ServerProcess::Start({.flags = {"--control_socket=/nowhere/control"}});
  EXPECT_NE(lost.status().ToString().find("control_socket: cannot make /nowhere/control"),
            std::string::npos)
      << lost.status();
  std::filesystem::remove_all(folder);
}

TEST_F(CliIntegration, PingAndInfoTellWhoTheNodeIs) {
  const json ping = Json({"ping", "--count", "3"});
  EXPECT_EQ(ping["server"], server_->listen());
  const json info = Json({"info"});
  EXPECT_EQ(info["node_name"], ping["node_name"]);
  EXPECT_EQ(info["epoch"], ping["epoch"]);
  EXPECT_EQ(info["health"], "HEALTHY");
  EXPECT_EQ(info["transports"], (std::vector<std::string>{"shm", "tcp"}));
  EXPECT_EQ(info["memory_bytes"], 64 << 20);
  EXPECT_GT(info["stats"]["memory_capacity_bytes"], 0);
  EXPECT_EQ(Kvasir({"info"}).exit_code, 0);
}

TEST_F(CliIntegration, ABlockGoesInAndComesOutOverEachTransport) {
  const std::string bytes = Bytes(3'000'001);
  std::ofstream(Path("in"), std::ios::binary) << bytes;
  for (const std::string transport : {"shm", "tcp", "auto"}) {
    const std::string key = "k\\x00/" + transport;
    const json put = Json({"put", key, Path("in"), "--attributes", "a\\xff", "--transport",
                           transport});
    EXPECT_EQ(put["transport"], transport == "auto" ? "shm" : transport);
    const json got = Json({"get", key, Path("out"), "--transport", transport});
    EXPECT_EQ(got["size_bytes"], bytes.size());
    EXPECT_EQ(got["attributes"], "a\\xff");
    EXPECT_EQ(ReadFile(Path("out")), bytes) << transport;
  }
  EXPECT_EQ(Kvasir({"put", "piped"}, bytes).exit_code, 0);
  EXPECT_EQ(Kvasir({"get", "piped"}).out, bytes);
}

TEST_F(CliIntegration, KeysAreListedShownAndRemoved) {
  for (const char* key : {"a/1", "a/2", "b"}) {
    ASSERT_EQ(Kvasir({"put", key}, key).exit_code, 0);
  }
  const json page = Json({"ls", "a/", "--limit", "1"});
  EXPECT_EQ(page["keys"].size(), 1u);
  EXPECT_EQ(page["keys"][0]["key"], "a/1");
  const std::string token = page["next_page_token"];
  EXPECT_EQ(Json({"ls", "a/", "--page_token", token})["keys"][0]["key"], "a/2");
  EXPECT_EQ(Json({"ls"})["keys"].size(), 3u);

  const json stat = Json({"stat", "a/1"})["keys"][0];
  EXPECT_EQ(stat["size_bytes"], 3);
  EXPECT_EQ(stat["residency"], "memory");
  EXPECT_EQ(Json({"exists", "a/1", "b"})["keys"][1]["exists"], true);

  EXPECT_EQ(Json({"rm", "b"})["removed"], 1);
  EXPECT_EQ(Json({"rm", "--prefix", "a/"})["removed"], 2);
  EXPECT_EQ(Kvasir({"rm", "--all"}).exit_code, 0);
  EXPECT_EQ(Json({"ls"})["keys"].size(), 0u);
}

TEST_F(CliIntegration, PinsAreKeptListedAndDropped) {
  ASSERT_EQ(Kvasir({"put", "k"}, "bytes").exit_code, 0);
  EXPECT_EQ(Json({"pin", "k", "--owner", "me", "--ttl", "1h"})["pinned"], 1);
  const json pin = Json({"pin", "--list"})["pins"][0];
  EXPECT_EQ(pin["key"], "k");
  EXPECT_EQ(pin["owner"], "me");
  EXPECT_GT(pin["ttl_left_ms"], 3'500'000);
  EXPECT_EQ(Json({"unpin", "--owner", "me"})["unpinned"], 1);
  EXPECT_EQ(Json({"pin", "--list"})["pins"].size(), 0u);
}

TEST_F(CliIntegration, EveryExitCodeIsReached) {
  ASSERT_EQ(Kvasir({"put", "k"}, "bytes").exit_code, 0);
  EXPECT_EQ(Kvasir({"put", "k"}, "bytes").exit_code, 0) << "the same bytes again";
  EXPECT_EQ(Kvasir({"put", "k"}, "other").exit_code, 1);
  EXPECT_EQ(Kvasir({"put", "k", "--replace"}, "other").exit_code, 0);
  EXPECT_EQ(Kvasir({"frobnicate"}).exit_code, 2);
  EXPECT_EQ(Kvasir({"stat", "bad\\key"}).exit_code, 2);
  EXPECT_EQ(Kvasir({"put", "new"}, "").exit_code, 2);
  EXPECT_EQ(Kvasir({"replay", "absent.jsonl"}).exit_code, 2);
  for (const char* command : {"exists", "stat", "pin", "rm"}) {
    EXPECT_EQ(Kvasir({command, "k", "absent"}).exit_code, 3) << command;
    EXPECT_EQ(Kvasir({command, "absent"}).exit_code, 4) << command;
  }
  EXPECT_EQ(Kvasir({"get", "absent"}).exit_code, 4);
  const std::string nobody = "127.0.0.1:1";
  EXPECT_EQ(CliProcess::Run(nobody, {"ping"}).exit_code, 5);
  EXPECT_EQ(CliProcess::Run(nobody, {"get", "k"}).exit_code, 5);
  EXPECT_EQ(Kvasir({"ping", "--server", nobody}).exit_code, 5);
}

// Two thirds of the memory: nothing needs to go.
const std::vector<std::string> kSmallReplay = {"replay", kTrace, "--block_bytes", "32KiB"};

TEST_F(CliIntegration, ReplayOfTheTraceThatShipsHitsTheIdealOverShmAndTcp) {
  for (const char* transport : {"shm", "tcp"}) {
    std::vector<std::string> arguments = kSmallReplay;
    arguments.insert(arguments.end(), {"--transport", transport});
    const json report = Json(arguments);
    EXPECT_EQ(report["requests"], 400);
    EXPECT_EQ(report["blocks_looked_up"], 4516);
    EXPECT_EQ(report["hits"], 3165);
    EXPECT_EQ(report["hit_ratio"], 0.701);
    EXPECT_EQ(report["ideal_hit_ratio"], 0.701);
    EXPECT_EQ(report["bytes_put"], 1351 * 32768);
    EXPECT_EQ(report["bytes_verified"], uint64_t{3165} * 32768);
    EXPECT_EQ(report["mismatches"], 0);
    EXPECT_EQ(report["transport"], transport);
    EXPECT_GT(report["get_gb_per_s"], 0);
    EXPECT_EQ(Json({"ls"})["keys"].size(), 0u) << "it cleans up";
  }
}

TEST_F(CliIntegration, ReplayAfterARestartHitsOnDiskAllThatItPut) {
  const std::string data_dir = ::testing::TempDir() + "kvasir_cli_data";
  std::filesystem::remove_all(data_dir);
  const std::vector<std::string> flags = {"--data_dir=" + data_dir, "--disk=1GiB"};
  std::vector<std::string> arguments = kSmallReplay;
  arguments.insert(arguments.end(), {"--name", "restart", "--keep"});
  StartServer(flags);
  const json first = Json(arguments);
  EXPECT_EQ(first["hits"], 3165);
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->WaitForExit().value_or(-1), 0);
  StartServer(flags);
  const json info = Json({"info"});
  EXPECT_EQ(info["data_dir"], data_dir);
  EXPECT_EQ(info["write_policy"], "write_back");
  EXPECT_EQ(info["stats"]["tier_blocks"], 1351);
  const std::string text = Kvasir({"info"}).out;
  EXPECT_NE(text.find("1351 blocks with 42.22 MiB of 1 GiB, write_back, in " + data_dir),
            std::string::npos)
      << text;
  const json again = Json(arguments);
  EXPECT_EQ(again["hits"], 4516) << "every block, the first of each included";
  EXPECT_EQ(again["hits_disk"], 1351) << "each block once, and then from memory";
  EXPECT_EQ(again["hits_memory"], 3165);
  EXPECT_EQ(again["blocks_put"], 0);
  EXPECT_EQ(again["bytes_verified"], uint64_t{4516} * 32768);
  EXPECT_EQ(again["mismatches"], 0);
  server_.reset();
  std::filesystem::remove_all(data_dir);
}

TEST_F(CliIntegration, ReplayThroughAnEvictionStormSeesMissesAndNoWrongByte) {
  // 338 MiB through 64 MiB, four requests at a time.
  const json report =
      Json({"replay", kTrace, "--block_bytes", "256KiB", "--concurrency", "4"});
  EXPECT_EQ(report["mismatches"], 0);
  EXPECT_EQ(report["bytes_verified"], report["bytes_got"]);
  EXPECT_LT(report["hits"], 3165);
  EXPECT_GT(report["hits"], 0);
  EXPECT_EQ(report["put_failures"], 0);
}

TEST_F(CliIntegration, AnInterruptEndsReplayWithAReportOfWhatWasDone) {
  CliProcess replay(server_->listen(), {"replay", kTrace, "--block_bytes", "4KiB", "--speedup",
                                        "1", "-o", "json"});
  AwaitFirstPut(replay);
  replay.Signal(SIGINT);
  const CliProcess::Result result = replay.Wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const json report = json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(report.is_object()) << result.out;
  EXPECT_LT(report["requests"], 400);
  EXPECT_EQ(result.err.find('\r'), std::string::npos) << "no bar without a terminal";
}

TEST_F(CliIntegration, ANodeThatDiesUnderAReplayEndsItAsDoneInPart) {
  CliProcess replay(server_->listen(), {"replay", kTrace, "--block_bytes", "4KiB", "--speedup",
                                        "50", "--timeout", "1s", "-o", "json"});
  AwaitFirstPut(replay);
  server_->Signal(SIGKILL);
  const CliProcess::Result result = replay.Wait();
  EXPECT_EQ(result.exit_code, 3) << result.err;
  const json report = json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(report.is_object()) << result.out;
  EXPECT_EQ(report["requests"], 400) << "the engine never waits on a dead store";
  EXPECT_GT(report["put_failures"], 0);
  EXPECT_EQ(report["mismatches"], 0);
}

TEST_F(CliIntegration, DurablePutsAreRefusedByANodeWithoutADisk) {
  const json report = Json({"replay", kTrace, "--requests", "1", "--durable", "process"});
  EXPECT_EQ(report["blocks_put"], 0);
  EXPECT_GT(report["puts_refused"], 0);
  EXPECT_EQ(report["durable"], "process");
}

TEST_F(CliIntegration, BenchMeasuresBothDirections) {
  const json report = Json({"bench", "--block_bytes", "64KiB", "--keys", "16", "--seconds",
                            "0.2", "--concurrency", "2"});
  for (const char* phase : {"put", "get"}) {
    EXPECT_GT(report[phase]["gb_per_s"], 0) << phase;
    EXPECT_EQ(report[phase]["failures"], 0) << phase;
  }
  EXPECT_EQ(report["get"]["mismatches"], 0);
  EXPECT_EQ(Json({"ls"})["keys"].size(), 0u);
}

}  // namespace
}  // namespace kvasir
