#include "base/ids.h"

#include <gtest/gtest.h>

#include <string>

namespace kvasir {
namespace {

TEST(SessionIdTest, BytesAreBigEndianAndComeBackAsTheId) {
  const SessionId id{0x0102030405060708, 0xfffefdfcfbfaf9f8};
  const std::string bytes = id.ToBytes();
  EXPECT_EQ(bytes, "\x01\x02\x03\x04\x05\x06\x07\x08\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8");
  EXPECT_EQ(*SessionId::FromBytes(bytes), id);
  EXPECT_EQ(*SessionId::FromBytes(SessionId{}.ToBytes()), SessionId{});
}

TEST(SessionIdTest, OtherThanSixteenBytesAreRefused) {
  for (const size_t size : {0, 1, 8, 15, 17, 32}) {
    const absl::Status status = SessionId::FromBytes(std::string(size, 'x')).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << size;
    const std::string message(status.message());
    EXPECT_NE(message.find(std::to_string(size) + " bytes"), std::string::npos) << message;
  }
}

TEST(SessionIdTest, PeopleSeeThirtyTwoHexDigits) {
  EXPECT_EQ((SessionId{0x1f, 0xab}).ToString(), "000000000000001f00000000000000ab");
}

TEST(SessionIdTest, EitherHalfTellsTwoIdsApart) {
  EXPECT_NE((SessionId{1, 2}), (SessionId{1, 3}));
  EXPECT_NE((SessionId{1, 2}), (SessionId{0, 2}));
}

}  // namespace
}  // namespace kvasir
