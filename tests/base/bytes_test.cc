#include "base/bytes.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kvasir {
namespace {

constexpr uint64_t kLargest = (uint64_t{1} << 63) - 1;

TEST(ParseSizeTest, NumbersAndUnitsAreRead) {
  const std::vector<std::pair<std::string_view, uint64_t>> cases = {
      {"0", 0},
      {"4096", 4096},
      {"37 B", 37},
      {"512 KiB", 512 * 1024},
      {"  2GiB  ", uint64_t{2} << 30},
      {"1.5GiB", uint64_t{3} << 29},
      {".5 MiB", 1 << 19},
      {"2.MB", 2'000'000},
      {"1.50KB", 1500},
      {"3TiB", uint64_t{3} << 40},
      {"3TB", 3'000'000'000'000},
      {"007 GB", 7'000'000'000},
  };
  for (const auto& [text, size_bytes] : cases) {
    const absl::StatusOr<uint64_t> parsed = ParseSize(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, size_bytes) << text;
  }
}

TEST(ParseSizeTest, NoBitIsRoundedAway) {
  EXPECT_EQ(*ParseSize("9007199254740993"), (uint64_t{1} << 53) + 1);
  EXPECT_EQ(*ParseSize("9223372036854775807"), kLargest);
  EXPECT_EQ(*ParseSize("8388607.9999990463256835937500 TiB"), kLargest - (1 << 20) + 1);
  EXPECT_EQ(*ParseSize("9223372.036854775807TB"), kLargest);
  // As doubles 1.001 * 1000 is below 1001.
  EXPECT_EQ(*ParseSize("1.001KB"), 1001u);
  EXPECT_EQ(*ParseSize("0.0000000000009094947017729282379150390625TiB"), 1u);
}

TEST(ParseSizeTest, WhatIsNoSizeIsRefusedAndTheUnitsAreNamed) {
  for (const std::string_view text :
       {"", " ", "B", "GiB", ".", ".GiB", "-1", "-0", "-1GiB", "+1", "1gib", "1 G", "1 Gi B",
        "1GiB2", "0x10", "1e3", "inf", "nan", "1,5GiB", "1.2.3", "1..5KiB", "0.5", "1.5 B",
        "1.0001KiB", "1.0001KB"}) {
    const absl::Status status = ParseSize(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    const std::string message(status.message());
    EXPECT_NE(message.find("\"" + std::string(text) + "\""), std::string::npos) << message;
    EXPECT_NE(message.find("TiB"), std::string::npos) << message;
  }
}

TEST(ParseSizeTest, WhatExceedsTheLargestSizeIsRefused) {
  for (const std::string& text :
       {std::string("9223372036854775808"), std::string("18446744073709551616"),
        std::string("18446744073709551617"), std::string("8388608TiB"),
        std::string("16777217 TiB"), std::string("9223372.036854775808TB"),
        std::string(400, '9')}) {
    EXPECT_EQ(ParseSize(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  const absl::Status status = ParseSize("8388608TiB").status();
  EXPECT_NE(std::string(status.message()).find("2^63 - 1"), std::string::npos) << status;
}

TEST(FormatSizeTest, AtMostTwoDecimalsOfThePowerOf1024ThatFits) {
  EXPECT_EQ(FormatSize(0), "0 B");
  EXPECT_EQ(FormatSize(37), "37 B");
  EXPECT_EQ(FormatSize(1000), "1000 B");
  EXPECT_EQ(FormatSize(1023), "1023 B");
  EXPECT_EQ(FormatSize(1024), "1 KiB");
  EXPECT_EQ(FormatSize(3 << 19), "1.5 MiB");
  EXPECT_EQ(FormatSize(uint64_t{2} << 30), "2 GiB");
  EXPECT_EQ(FormatSize(1034), "1.01 KiB");
  EXPECT_EQ(FormatSize(uint64_t{5000} << 40), "5000 TiB");
}

TEST(FormatSizeTest, WhatRoundsToTheNextUnitIsShownInIt) {
  EXPECT_EQ(FormatSize((1 << 20) - 1), "1 MiB");
  EXPECT_EQ(FormatSize((uint64_t{1} << 40) - 1), "1 TiB");
}

TEST(FormatSizeTest, WhatItPrintsCanBeParsed) {
  for (int shift = 0; shift < 63; ++shift) {
    EXPECT_EQ(*ParseSize(FormatSize(uint64_t{1} << shift)), uint64_t{1} << shift);
  }
}

TEST(PrintableKeyTest, OnlyPrintableAsciiStaysAsItIs) {
  EXPECT_EQ(PrintableKey(""), "");
  EXPECT_EQ(PrintableKey("model/7 ~\"layer\""), "model/7 ~\"layer\"");
  EXPECT_EQ(PrintableKey(std::string_view("\0\n\x1f\x7f\xff", 5)), "\\x00\\x0a\\x1f\\x7f\\xff");
  EXPECT_EQ(PrintableKey("a\\x00"), "a\\x5cx00");
}

TEST(PrintableKeyTest, LongKeysAreCutBetweenTwoBytesOfTheKey) {
  EXPECT_EQ(PrintableKey("abcd", 4), "abcd");
  EXPECT_EQ(PrintableKey("abcde", 4), "abcd...");
  EXPECT_EQ(PrintableKey("abc\n", 7), "abc\\x0a");
  EXPECT_EQ(PrintableKey("abc\n", 6), "abc...");
  EXPECT_EQ(PrintableKey(std::string(1024, 'k')).size(), 128u + 3);
  EXPECT_EQ(PrintableKey(std::string(1024, '\0')).size(), 128u + 3);
}

}  // namespace
}  // namespace kvasir
