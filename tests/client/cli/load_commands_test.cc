// The two commands that make load: replay and bench.
#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "base/limits.h"
#include "client/cli/replay_command.h"
#include "tests/client/cli/app_fixture.h"

namespace kvasir {
namespace {

constexpr char kTrace[] =
    R"({"timestamp": 0, "input_length": 1024, "output_length": 5, "hash_ids": [1, 2]})"
    "\n"
    R"({"timestamp": 9, "input_length": 1100, "output_length": 5, "hash_ids": [1, 2, 3]})"
    "\n";

class LoadTest : public AppTest {
 protected:
  std::string trace_ = WriteFile("two.jsonl", kTrace);
};

TEST_F(LoadTest, ReplayReportsOneObjectAndLeavesNothingBehind) {
  EXPECT_EQ(Run({"replay", trace_, "--block_bytes", "1KiB", "-o", "json"}),
            ExitCode::kOk);
  const Json report = json();
  EXPECT_EQ(report["requests"], 2);
  EXPECT_EQ(report["blocks_looked_up"], 5);
  EXPECT_EQ(report["hits"], 2);
  EXPECT_EQ(report["misses"], 3);
  EXPECT_EQ(report["hit_ratio"], 0.4);
  EXPECT_EQ(report["ideal_hit_ratio"], 0.4);
  EXPECT_EQ(report["bytes_put"], 3072);
  EXPECT_EQ(report["bytes_verified"], 2048);
  EXPECT_EQ(report["mismatches"], 0);
  EXPECT_EQ(report["prefill_tokens_saved"], 1024);
  EXPECT_EQ(report["transport"], "shm");
  EXPECT_EQ(store_.size(), 0u);
  EXPECT_EQ(store_.live_registrations(), 0u);
}

TEST_F(LoadTest, ReplayOfANameFindsWhatTheSameNameKept) {
  const std::vector<std::string> arguments = {"replay", trace_,   "--block_bytes",
                                              "1KiB",   "--name", "mine",
                                              "--keep", "-o",     "json"};
  EXPECT_EQ(Run(arguments), ExitCode::kOk);
  EXPECT_EQ(store_.size(), 3u);
  EXPECT_TRUE(store_.Find("replay/mine/1024/3").has_value());
  EXPECT_EQ(Run(arguments), ExitCode::kOk);
  EXPECT_EQ(json()["hits"], 5);
  EXPECT_EQ(json()["mismatches"], 0);
}

TEST_F(LoadTest, ReplayTellsHitsFromDiskFromThoseOfMemory) {
  const std::vector<std::string> arguments = {"replay", trace_, "--block_bytes",
                                              "1KiB",   "--name", "mine", "--keep"};
  EXPECT_EQ(Run(arguments), ExitCode::kOk);
  store_.MoveToDisk("replay/mine/1024/1");
  store_.MoveToDisk("replay/mine/1024/2");
  EXPECT_EQ(Run(arguments), ExitCode::kOk);
  EXPECT_NE(out().find("hits           3 from memory, 2 from disk"), std::string::npos)
      << out();
  store_.MoveToDisk("replay/mine/1024/3");
  std::vector<std::string> as_json = arguments;
  as_json.insert(as_json.end(), {"-o", "json"});
  EXPECT_EQ(Run(as_json), ExitCode::kOk);
  EXPECT_EQ(json()["hits"], 5);
  EXPECT_EQ(json()["hits_memory"], 4);
  EXPECT_EQ(json()["hits_disk"], 1);
}

TEST_F(LoadTest, DurableIsAskedOfEveryPut) {
  EXPECT_EQ(Run({"replay", trace_, "--durable", "power", "-o", "json"}), ExitCode::kOk);
  EXPECT_EQ(store_.calls().durability, Durability::kPower);
  EXPECT_EQ(json()["durable"], "power");
  EXPECT_EQ(Run({"bench", "--seconds", "0", "--keys", "1", "--durable", "process", "-o",
                 "json"}),
            ExitCode::kOk);
  EXPECT_EQ(store_.calls().durability, Durability::kProcess);
  EXPECT_EQ(json()["durable"], "process");
  EXPECT_EQ(Run({"bench", "--seconds", "0", "--keys", "1"}), ExitCode::kOk);
  EXPECT_EQ(store_.calls().durability, Durability::kNone);
  for (const char* command : {"replay", "bench"}) {
    EXPECT_EQ(Run({command, trace_, "--durable", "forever"}), ExitCode::kUsage);
  }
}

TEST_F(LoadTest, AWrongByteEndsReplayWithOneAndSaysWhere) {
  store_.FlipBit("replay/mine/1024/2", 5);
  EXPECT_EQ(
      Run({"replay", trace_, "--block_bytes", "1KiB", "--name", "mine", "-o", "json"}),
      ExitCode::kError);
  EXPECT_EQ(json()["mismatches"], 1);
  EXPECT_NE(err().find("replay/mine/1024/2: wrong from byte 5 of 1024 on"),
            std::string::npos)
      << err();
}

TEST_F(LoadTest, AFullNodeIsToldAndAFailingOneIsThree) {
  store_.FailPut("", absl::ResourceExhaustedError("full"));
  EXPECT_EQ(Run({"replay", trace_, "-o", "json"}), ExitCode::kOk);
  EXPECT_EQ(json()["puts_refused"], 5);
  EXPECT_NE(err().find("5 puts were refused"), std::string::npos) << err();
  store_.FailPut("", absl::UnavailableError("gone"));
  EXPECT_EQ(Run({"replay", trace_, "-o", "json"}), ExitCode::kPartial);
  EXPECT_EQ(json()["put_failures"], 5);
}

TEST_F(LoadTest, ModelsAndLimitsShapeTheReplay) {
  EXPECT_EQ(
      Run({"replay", trace_, "--model", "llama-3.2-1b", "--kv_dtype", "fp8", "--requests",
           "1", "--concurrency", "3", "--transport", "shm", "-o", "json"}),
      ExitCode::kOk);
  EXPECT_EQ(json()["block_bytes"], 8 * kMiB);
  EXPECT_EQ(json()["requests"], 1);
  EXPECT_EQ(client_options_.lanes_per_node, 3 * kStripesMax);
  EXPECT_EQ(client_options_.transport, TransportChoice::kShm);
}

TEST_F(LoadTest, AMalformedTraceIsAUsageErrorWithItsLine) {
  const std::string broken = WriteFile("broken.jsonl", std::string(kTrace) + "{]\n");
  EXPECT_EQ(Run({"replay", broken}), ExitCode::kUsage);
  EXPECT_NE(err().find("broken.jsonl:3: not a JSON object"), std::string::npos) << err();
  EXPECT_EQ(Run({"replay", Path("absent.jsonl")}), ExitCode::kUsage);
  EXPECT_NE(err().find("absent.jsonl"), std::string::npos) << err();
  EXPECT_EQ(store_.calls().puts, 0u);
}

TEST_F(LoadTest, ReplayReadsATraceFromStandardInput) {
  EXPECT_EQ(Run({"replay", "-", "--block_bytes", "1KiB"}, kTrace), ExitCode::kOk);
  EXPECT_NE(out().find("hit ratio      0.400 (a cache without limits: 0.400)"),
            std::string::npos)
      << out();
  EXPECT_NE(out().find("0 mismatches"), std::string::npos);
}

TEST_F(LoadTest, BenchMeasuresPutsAndGetsAndLeavesNothingBehind) {
  EXPECT_EQ(Run({"bench", "--block_bytes", "4KiB", "--keys", "3", "--seconds", "0",
                 "--concurrency", "2", "-o", "json"}),
            ExitCode::kOk);
  const Json report = json();
  EXPECT_EQ(report["transport"], "shm");
  EXPECT_EQ(report["block_bytes"], 4096);
  for (const char* phase : {"put", "get"}) {
    EXPECT_EQ(report[phase]["batches"], 2) << "each of two workers once";
    EXPECT_EQ(report[phase]["blocks"], 6);
    EXPECT_EQ(report[phase]["bytes"], 6 * 4096);
    EXPECT_EQ(report[phase]["failures"], 0);
    EXPECT_EQ(report[phase]["mismatches"], 0);
    EXPECT_TRUE(report[phase]["batch_us"]["p99"].is_number());
  }
  EXPECT_EQ(store_.size(), 0u);
  EXPECT_EQ(Run({"bench", "--seconds", "0", "--keys", "1"}), ExitCode::kOk);
  EXPECT_NE(out().find("OVER shm  BATCHES"), std::string::npos) << out();
}

TEST_F(LoadTest, BenchCountsFailuresAsAPart) {
  store_.FailPut("", absl::ResourceExhaustedError("full"));
  EXPECT_EQ(Run({"bench", "--seconds", "0", "--keys", "2", "-o", "json"}),
            ExitCode::kPartial);
  EXPECT_EQ(json()["put"]["failures"], 2);
  EXPECT_EQ(json()["get"]["failures"], 2);
  EXPECT_NE(err().find("full"), std::string::npos);
}

}  // namespace
}  // namespace kvasir
