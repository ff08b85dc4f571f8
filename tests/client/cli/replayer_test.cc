#include "client/cli/replay/replayer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/replay/report.h"
#include "tests/support/fake_client.h"
#include "tests/support/manual_clock.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using Ids = std::vector<uint64_t>;

class ReplayerTest : public ::testing::Test {
 protected:
  ReplayerTest() {
    options_.block_bytes = 1000;
    options_.key_prefix = "r/";
    options_.wait = [this](std::chrono::nanoseconds span) {
      waited_ += span;
      clock_.Advance(span);
    };
  }

  void Request(const Ids& ids, double timestamp_ms = 0) {
    trace_.requests.push_back({.timestamp_ms = timestamp_ms,
                               .input_length = ids.size() * kTraceBlockTokens,
                               .first_id = trace_.hash_ids.size(),
                               .id_count = ids.size()});
    trace_.hash_ids.insert(trace_.hash_ids.end(), ids.begin(), ids.end());
  }

  ReplayReport Run() {
    Replayer replayer(&store_, &clock_, &trace_, options_, nullptr);
    auto report = replayer.Run();
    EXPECT_TRUE(report.ok()) << report.status();
    return *report;
  }

  ManualClock clock_;
  FakeClient store_;
  Trace trace_;
  ReplayOptions options_;
  std::chrono::nanoseconds waited_{0};
};

TEST_F(ReplayerTest, AStoreThatForgetsNothingHitsTheIdeal) {
  Request({1, 2, 3});
  Request({1, 2, 4, 5});
  Request({1, 2, 4, 5, 6});
  Request({7});
  const ReplayReport report = Run();

  EXPECT_EQ(report.counts.requests, 4u);
  EXPECT_EQ(report.counts.looked_up, 13u);
  EXPECT_EQ(report.counts.hits, 6u);
  EXPECT_EQ(report.ideal_hits, 6u);
  EXPECT_EQ(report.misses(), 7u);
  EXPECT_EQ(report.counts.put, 7u);
  EXPECT_EQ(report.counts.bytes_put, 7000u);
  EXPECT_EQ(report.counts.bytes_got, 6000u);
  EXPECT_EQ(report.counts.bytes_verified, 6000u);
  EXPECT_EQ(report.counts.mismatches, 0u);
  EXPECT_EQ(report.counts.prefill_tokens_saved, 6u * 512);
  EXPECT_EQ(report.counts.prefill_tokens, 13u * 512);
  EXPECT_EQ(report.lookup.count(), 4u);
  EXPECT_EQ(report.get.count() + report.put.count(), 0u)
      << "a manual clock takes no time";
  EXPECT_EQ(store_.size(), 7u);
}

TEST_F(ReplayerTest, AFlippedBitIsAMismatch) {
  store_.FlipBit("r/2", 777);
  Request({1, 2, 3});
  Request({1, 2, 3});
  const ReplayReport report = Run();
  EXPECT_EQ(report.counts.mismatches, 1u);
  EXPECT_EQ(report.counts.bytes_got, 3000u);
  EXPECT_EQ(report.counts.bytes_verified, 2000u);
  EXPECT_EQ(report.first_mismatch, "r/2: wrong from byte 777 of 1000 on");
}

TEST_F(ReplayerTest, AHitThatWroteNothingIsAMismatchAlsoWhereTheRightBytesWereBefore) {
  Request({1});  // put out of the slot
  Request({1});  // that this one
  Request({1});  // and this one look in
  store_.PretendToGet("r/1");
  EXPECT_EQ(Run().counts.mismatches, 2u);
}

TEST_F(ReplayerTest, AnotherReplaysBlocksUnderOurKeysAreMismatches) {
  Request({1});
  Run();
  const auto foreign = store_.Find("r/1");
  options_.key_prefix = "s/";
  store_.Insert("s/1", *foreign);
  EXPECT_EQ(Run().counts.mismatches, 1u);
}

TEST_F(ReplayerTest, ABlockOfAnotherSizeIsAMissAndNotAMismatch) {
  store_.Insert("r/1", {std::string(999, 'x'), ""});
  Request({1});
  const ReplayReport report = Run();
  EXPECT_EQ(report.counts.hits, 0u);
  EXPECT_EQ(report.counts.lost, 1u);
  EXPECT_EQ(report.counts.mismatches, 0u);
}

TEST_F(ReplayerTest, ABlockEvictedBetweenLookupAndGetEndsTheHitsAndIsPutAgain) {
  Request({1, 2, 3});
  Request({1, 2, 3});
  store_.LoseAtGet("r/2");
  const ReplayReport report = Run();
  EXPECT_EQ(report.counts.hits, 1u);
  EXPECT_EQ(report.ideal_hits, 3u);
  EXPECT_EQ(report.counts.lost, 1u);
  EXPECT_EQ(report.counts.bytes_verified, 2000u) << "block 3 arrived behind the hole";
  EXPECT_EQ(report.counts.put, 3u);
  EXPECT_EQ(report.counts.puts_present, 1u) << "this fake only hides the block from gets";
}

TEST_F(ReplayerTest, AStoreThatForgetsIsMeasuredAgainstTheIdeal) {
  store_.SetCapacity(2);
  for (int round = 0; round < 3; ++round) Request({1, 2, 3, 4});
  const ReplayReport report = Run();
  // Round 1 leaves 3 and 4; round 2 puts 1 and 2 in their place; round 3 finds those.
  EXPECT_EQ(report.counts.hits, 2u);
  EXPECT_NEAR(report.hit_ratio(), 2.0 / 12, 1e-9);
  EXPECT_NEAR(report.ideal_hit_ratio(), 8.0 / 12, 1e-9);
  EXPECT_EQ(report.counts.mismatches, 0u);
}

TEST_F(ReplayerTest, WhatStandsBehindAMissIsNotPutAgain) {
  Request({1, 2, 3});
  Run();
  const std::string_view gone = "r/1";
  store_.Remove(std::span(&gone, 1), {});
  const ReplayReport report = Run();
  EXPECT_EQ(report.counts.hits, 0u);
  EXPECT_EQ(report.counts.put, 1u);
}

TEST_F(ReplayerTest, LongRequestsGoInBatchesThatFitTheBuffer) {
  options_.batch_bytes = 4096;  // four blocks of 1000
  Ids ids;
  for (uint64_t id = 0; id < 10; ++id) ids.push_back(id);
  Request(ids);
  Request(ids);
  const ReplayReport report = Run();
  EXPECT_EQ(report.counts.hits, 10u);
  EXPECT_EQ(report.counts.bytes_verified, 10'000u);
  EXPECT_EQ(store_.calls().puts, 3u);
  EXPECT_EQ(store_.calls().gets, 3u);
  EXPECT_EQ(store_.calls().registrations, 1u) << "one buffer, used again and again";
  EXPECT_EQ(store_.live_registrations(), 0u);
}

TEST_F(ReplayerTest, ABlockLargerThanTheBatchGoesAlone) {
  options_.batch_bytes = 1;
  Request({1, 2});
  Request({1, 2});
  EXPECT_EQ(Run().counts.hits, 2u);
  EXPECT_EQ(store_.calls().puts, 2u);
}

TEST_F(ReplayerTest, AnIdThatStandsTwiceInARequestIsPutOnce) {
  Request({1, 1, 2});
  const ReplayReport report = Run();
  EXPECT_EQ(report.counts.put, 2u);
  EXPECT_EQ(report.counts.put_failures, 0u);
}

TEST_F(ReplayerTest, RefusedAndFailedPutsAreTwoThings) {
  store_.FailPut("r/1", absl::ResourceExhaustedError("full"));
  store_.FailPut("r/2", absl::UnavailableError("gone"));
  store_.FailPut("r/3", absl::AbortedError("busy"));
  Request({1, 2, 3, 4});
  const ReplayReport report = Run();
  EXPECT_EQ(report.counts.puts_refused, 1u);
  EXPECT_EQ(report.counts.put_failures, 1u);
  EXPECT_EQ(report.counts.puts_present, 1u);
  EXPECT_EQ(report.counts.put, 1u);
  EXPECT_NE(report.first_put_failure.find("full"), std::string::npos);
}

TEST_F(ReplayerTest, WithASpeedupRequestsKeepTheTracesTimes) {
  options_.speedup = 2;
  Request({1}, 0);
  Request({2}, 1000);
  Request({3}, 3000);
  const ReplayReport report = Run();
  EXPECT_EQ(report.counts.requests, 3u);
  EXPECT_EQ(waited_, milliseconds(1500));
  EXPECT_EQ(report.elapsed, milliseconds(1500));
}

TEST_F(ReplayerTest, ATimeLimitEndsItAndTheIdealCoversWhatWasReplayed) {
  options_.speedup = 1;
  options_.run_for = milliseconds(1200);
  for (int second = 0; second < 10; ++second) Request({1, 2}, second * 1000);
  const ReplayReport report = Run();
  EXPECT_EQ(report.counts.requests, 2u);
  EXPECT_EQ(report.ideal_hits, 2u);
  EXPECT_EQ(report.hit_ratio(), report.ideal_hit_ratio());
}

TEST_F(ReplayerTest, AnInterruptEndsItWithAReport) {
  std::atomic<bool> interrupted = true;
  options_.interrupted = &interrupted;
  Request({1});
  EXPECT_EQ(Run().counts.requests, 0u);
}

TEST_F(ReplayerTest, SeveralWorkersReplayEachRequestOnce) {
  options_.concurrency = 4;
  for (uint64_t i = 0; i < 200; ++i) Request({0, i % 10 + 1, 1000 + i});
  const ReplayReport report = Run();
  EXPECT_EQ(report.counts.requests, 200u);
  EXPECT_EQ(report.counts.looked_up, 600u);
  EXPECT_EQ(report.counts.mismatches, 0u);
  EXPECT_EQ(report.counts.bytes_got, report.counts.bytes_verified);
  EXPECT_EQ(report.ideal_hits, 199u + 190u);
  EXPECT_LE(report.counts.hits, report.ideal_hits) << "some asked before another had put";
  EXPECT_EQ(store_.size(), 211u);
}

TEST_F(ReplayerTest, TheReportNamesEveryNumberThatIsPromised) {
  Request({1, 2, 3});
  Request({1, 2, 3, 4});
  const Json json = ReplayJson(Run(), options_, {"t.jsonl", "h:1", "shm"});
  for (const char* name :
       {"requests", "blocks_looked_up", "hits", "misses", "hit_ratio", "ideal_hit_ratio",
        "bytes_put", "bytes_got", "bytes_verified", "mismatches", "seconds",
        "get_gb_per_s", "put_gb_per_s", "transport", "prefill_tokens_saved"}) {
    EXPECT_TRUE(json.contains(name)) << name;
  }
  for (const char* name : {"lookup_us", "get_us", "put_us"}) {
    for (const char* part : {"p50", "p95", "p99"}) {
      EXPECT_TRUE(json[name][part].is_number()) << name << " " << part;
    }
  }
  EXPECT_EQ(json["hit_ratio"], 0.429) << "3 of 7, to three digits";
}

}  // namespace
}  // namespace kvasir
