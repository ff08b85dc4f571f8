#include "client/cli/arguments.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "base/limits.h"

namespace kvasir {
namespace {

TEST(ParseKey, EscapesAreBytesAndTheRestStandsForItself) {
  EXPECT_EQ(*ParseKey("plain/key@1"), "plain/key@1");
  EXPECT_EQ(*ParseKey("a\\x00b\\xFf"), std::string("a\0b\xff", 4));
  EXPECT_EQ(*ParseKey("\\x5cn"), "\\n");
  EXPECT_EQ(*ParseKey("\xc3\xbc"), "\xc3\xbc");
}

TEST(ParseKey, ABackslashThatIsNoEscapeIsAnErrorThatTellsHowToWriteIt) {
  for (const char* text : {"a\\", "\\n", "\\x", "\\x1", "\\xg0", "\\x0g", "\\x-1"}) {
    const auto key = ParseKey(text);
    EXPECT_TRUE(absl::IsInvalidArgument(key.status())) << text;
    EXPECT_NE(std::string(key.status().message()).find("\\x5c"), std::string::npos);
  }
}

TEST(ParseKey, LengthsAreCheckedInBytesNotCharacters) {
  EXPECT_TRUE(absl::IsInvalidArgument(ParseKey("").status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(ParseKey(std::string(kMaxKeyBytes + 1, 'k')).status()));
  std::string escaped;
  for (size_t i = 0; i < kMaxKeyBytes; ++i) escaped += "\\x00";
  EXPECT_EQ(ParseKey(escaped)->size(), kMaxKeyBytes);
  EXPECT_EQ(*ParsePrefix(""), "");
}

TEST(ParseKey, ReadsBackWhatKeyTextPrints) {
  std::string key;
  for (int byte = 0; byte < 256; ++byte) key.push_back(static_cast<char>(byte));
  EXPECT_EQ(*ParseKey(KeyText(key)), key);
}

TEST(ParseDuration, TakesFourUnits) {
  EXPECT_EQ(ParseDuration("500ms")->count(), 500);
  EXPECT_EQ(ParseDuration("1.5s")->count(), 1500);
  EXPECT_EQ(ParseDuration("10m")->count(), 600'000);
  EXPECT_EQ(ParseDuration("2h")->count(), 7'200'000);
}

TEST(ParseDuration, RefusesTheRestByName) {
  for (const char* text : {"", "5", "s", "0s", "-1s", "5 parsecs", "1e5s", "nan", "0.1ms",
                           "999999999999999h"}) {
    const auto duration = ParseDuration(text);
    EXPECT_TRUE(absl::IsInvalidArgument(duration.status())) << text;
  }
}

TEST(ParseBlockBytes, IsBoundedByWhatABlockMayBe) {
  EXPECT_EQ(*ParseBlockBytes("256KiB"), 256 * kKiB);
  EXPECT_EQ(*ParseBlockBytes("256MiB"), kMaxBlockBytes);
  EXPECT_TRUE(absl::IsInvalidArgument(ParseBlockBytes("257MiB").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ParseBlockBytes("0").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ParseBlockBytes("big").status()));
}

TEST(FormatDuration, ChoosesAUnitForPeople) {
  EXPECT_EQ(FormatDuration(std::chrono::microseconds(350)), "350 us");
  EXPECT_EQ(FormatDuration(std::chrono::microseconds(2500)), "2.5 ms");
  EXPECT_EQ(FormatDuration(std::chrono::milliseconds(12'340)), "12.3 s");
  EXPECT_EQ(FormatDuration(std::chrono::seconds(200)), "3 min 20 s");
  EXPECT_EQ(FormatDuration(std::chrono::minutes(205)), "3 h 25 min");
}

}  // namespace
}  // namespace kvasir
