#include "proto/codec.h"

#include <gtest/gtest.h>

#include "base/status_reason.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

TEST(Codec, LaneErrorCarriesCodeMessageReasonAndRetryDelay) {
  const absl::Status status =
      WithReason(absl::UnavailableError("grant: draining"), kReasonDraining, milliseconds(750));
  v1::LaneError error;
  ToLaneError(status, &error);
  EXPECT_EQ(error.code(), 14);
  EXPECT_EQ(error.message(), "grant: draining");
  EXPECT_EQ(error.reason(), "DRAINING");
  EXPECT_EQ(error.retry_after_ms(), 750u);
  EXPECT_EQ(FromLaneError(error), status);
}

TEST(Codec, LaneErrorWithoutAReasonComesBackWithoutOne) {
  v1::LaneError error;
  error.set_reason("left over");
  error.set_retry_after_ms(7);
  ToLaneError(absl::NotFoundError("lane: gone"), &error);
  EXPECT_EQ(FromLaneError(error), absl::NotFoundError("lane: gone"));
}

TEST(Codec, EveryErrorCodeSurvivesTheWire) {
  for (int code = 1; code <= 16; ++code) {
    v1::LaneError error;
    ToLaneError(absl::Status(static_cast<absl::StatusCode>(code), "x"), &error);
    EXPECT_EQ(static_cast<int>(FromLaneError(error).code()), code);
  }
}

TEST(Codec, ALaneErrorIsNeverOk) {
  for (const int code : {0, -1, 17, 1 << 30}) {
    v1::LaneError error;
    error.set_code(code);
    EXPECT_EQ(FromLaneError(error).code(), absl::StatusCode::kUnknown) << code;
  }
}

TEST(Codec, BytesThatAreNotUtf8AreEscapedSoThatTheMessageParses) {
  v1::LaneError error;
  ToLaneError(absl::InvalidArgumentError("key \xFF\x80 caf\xC3\xA9"), &error);
  EXPECT_EQ(error.message(), "key \\xFF\\x80 caf\\xC3\\xA9");
  v1::LaneError parsed;
  EXPECT_TRUE(parsed.ParseFromString(error.SerializeAsString()));
}

TEST(Codec, WellFormedUtf8StaysAsItIs) {
  for (const std::string_view text :
       {"", "plain", "caf\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x90\x9F"}) {
    EXPECT_EQ(Utf8OrEscaped(text), text);
  }
}

TEST(Codec, OverlongSurrogateAndCutSequencesAreNotUtf8) {
  EXPECT_EQ(Utf8OrEscaped("\xC0\xAF"), "\\xC0\\xAF");
  EXPECT_EQ(Utf8OrEscaped("\xE0\x80\xAF"), "\\xE0\\x80\\xAF");
  EXPECT_EQ(Utf8OrEscaped("\xED\xA0\x80"), "\\xED\\xA0\\x80");
  EXPECT_EQ(Utf8OrEscaped("\xF4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80");
  EXPECT_EQ(Utf8OrEscaped("\xE2\x82"), "\\xE2\\x82");
}

}  // namespace
}  // namespace kvasir
