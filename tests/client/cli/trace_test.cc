#include "client/cli/replay/trace.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace kvasir {
namespace {

constexpr char kLine[] =
    R"({"timestamp": 27482, "input_length": 1300, "output_length": 52, "hash_ids": [46, 47, 9]})";

absl::StatusOr<Trace> Read(const std::string& text, size_t requests_max = SIZE_MAX) {
  std::istringstream in(text);
  return ReadTrace(in, "t.jsonl", requests_max);
}

std::string ErrorOf(const std::string& text) {
  const absl::StatusOr<Trace> trace = Read(text);
  EXPECT_TRUE(absl::IsInvalidArgument(trace.status())) << trace.status();
  return std::string(trace.status().message());
}

TEST(Trace, ALineBecomesARequestWithItsBlocks) {
  const auto trace = Read(std::string(kLine) + "\n");
  ASSERT_TRUE(trace.ok()) << trace.status();
  ASSERT_EQ(trace->requests.size(), 1u);
  const TraceRequest& request = trace->requests[0];
  EXPECT_EQ(request.timestamp_ms, 27482);
  EXPECT_EQ(request.input_length, 1300u);
  EXPECT_EQ(request.output_length, 52u);
  const auto ids = trace->IdsOf(request);
  EXPECT_EQ(std::vector<uint64_t>(ids.begin(), ids.end()),
            (std::vector<uint64_t>{46, 47, 9}));
}

TEST(Trace, RequestsKeepTheirOwnBlocksApart) {
  const auto trace = Read(
      R"({"timestamp":0,"input_length":1,"output_length":0,"hash_ids":[1]})"
      "\n"
      R"({"timestamp":0.5,"input_length":1,"output_length":0,"hash_ids":[]})"
      "\n"
      R"({"timestamp":1,"input_length":1,"output_length":0,"hash_ids":[2,3],"type":"text"})");
  ASSERT_TRUE(trace.ok()) << trace.status();
  ASSERT_EQ(trace->requests.size(), 3u);
  EXPECT_EQ(trace->IdsOf(trace->requests[0]).size(), 1u);
  EXPECT_EQ(trace->IdsOf(trace->requests[1]).size(), 0u);
  EXPECT_EQ(trace->IdsOf(trace->requests[2])[1], 3u);
}

TEST(Trace, EmptyLinesAreSkippedAndLineEndingsDoNotMatter) {
  const auto trace = Read(std::string("\n  \n") + kLine + "\r\n\r\n" + kLine);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->requests.size(), 2u);
}

TEST(Trace, ReadsNoFurtherThanAsked) {
  const auto trace = Read(std::string(kLine) + "\nnot a request\n", 1);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->requests.size(), 1u);
}

TEST(Trace, AnErrorNamesTheLineAndWhatIsWrongWithIt) {
  const std::string good = std::string(kLine) + "\n";
  EXPECT_EQ(ErrorOf(good + good + "{\"timestamp\": 1,"),
            "t.jsonl:3: not a JSON object: {\"timestamp\": 1,");
  EXPECT_EQ(ErrorOf(good + "\n[1, 2]"), "t.jsonl:3: not a JSON object: [1, 2]");
  EXPECT_EQ(ErrorOf(R"({"input_length":1,"output_length":0,"hash_ids":[]})"),
            "t.jsonl:1: \"timestamp\" is missing");
  EXPECT_EQ(
      ErrorOf(R"({"timestamp":-1,"input_length":1,"output_length":0,"hash_ids":[]})"),
      "t.jsonl:1: \"timestamp\" is -1, not milliseconds from 0");
  EXPECT_EQ(
      ErrorOf(R"({"timestamp":0,"input_length":"7","output_length":0,"hash_ids":[]})"),
      "t.jsonl:1: \"input_length\" is \"7\", not a whole number from 0");
  EXPECT_EQ(ErrorOf(R"({"timestamp":0,"input_length":1,"output_length":0})"),
            "t.jsonl:1: \"hash_ids\" is missing");
  EXPECT_EQ(ErrorOf(R"({"timestamp":0,"input_length":1,"output_length":0,"hash_ids":7})"),
            "t.jsonl:1: \"hash_ids\" is not a list");
  EXPECT_EQ(
      ErrorOf(R"({"timestamp":0,"input_length":1,"output_length":0,"hash_ids":[3,-4]})"),
      "t.jsonl:1: hash_ids[1] is -4, not a whole number from 0");
}

TEST(Trace, AFileWithoutARequestIsAnError) {
  EXPECT_EQ(ErrorOf(""), "t.jsonl: holds no request");
  EXPECT_EQ(ErrorOf("\n\n"), "t.jsonl: holds no request");
}

TEST(Trace, ABinaryFileIsAnErrorThatPrints) {
  EXPECT_EQ(ErrorOf(std::string("\x7f\x45LF\0\1", 6)),
            "t.jsonl:1: not a JSON object: \\x7fELF\\x00\\x01");
}

TEST(IdealCache, CountsThePrefixThatEarlierRequestsBrought) {
  IdealCache cache;
  EXPECT_EQ(cache.Admit(std::vector<uint64_t>{1, 2, 3}), 0u);
  EXPECT_EQ(cache.Admit(std::vector<uint64_t>{1, 2, 4}), 2u);
  EXPECT_EQ(cache.Admit(std::vector<uint64_t>{1, 2, 3}), 3u);
  EXPECT_EQ(cache.Admit(std::vector<uint64_t>{9, 1, 2}), 0u) << "nothing behind a miss";
  EXPECT_EQ(cache.Admit({}), 0u);
}

// The same number that tools/make_trace and tools/traces/README.md state.
TEST(IdealCache, TheTraceThatShipsHitsSevenTenths) {
  std::ifstream in("tools/traces/conversations.jsonl");
  const auto trace = ReadTrace(in, "conversations.jsonl");
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->requests.size(), 400u);
  EXPECT_EQ(trace->hash_ids.size(), 4516u);
  IdealCache cache;
  size_t hits = 0;
  for (const TraceRequest& request : trace->requests)
    hits += cache.Admit(trace->IdsOf(request));
  EXPECT_NEAR(static_cast<double>(hits) / 4516, 0.701, 0.0005);
}

TEST(Trace, TheLastBlockOfAnInputStandsForItsRestOnly) {
  const TraceRequest request{.input_length = 1300};
  EXPECT_EQ(TokensOf(request, 0), 0u);
  EXPECT_EQ(TokensOf(request, 2), 1024u);
  EXPECT_EQ(TokensOf(request, 3), 1300u);
}

}  // namespace
}  // namespace kvasir
