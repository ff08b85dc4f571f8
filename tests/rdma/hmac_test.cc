#include "rdma/hmac.h"

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "gtest/gtest.h"

namespace kvasir {
namespace {

std::string Hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte byte : bytes) {
    out.push_back("0123456789abcdef"[std::to_integer<int>(byte) >> 4]);
    out.push_back("0123456789abcdef"[std::to_integer<int>(byte) & 15]);
  }
  return out;
}

std::string SignHex(std::string_view key, std::string_view message) {
  return Hex(HmacSha256(AsBytes(key)).Sign(AsBytes(message)));
}

// RFC 4231, sections 4.2 to 4.4.
TEST(HmacSha256, AgreesWithThePublishedVectors) {
  EXPECT_EQ(SignHex(std::string(20, '\x0b'), "Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(SignHex("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(SignHex(std::string(20, '\xaa'), std::string(50, '\xdd')),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
}

TEST(HmacSha256, SignsTheSameAgain) {
  const HmacSha256 mac(AsBytes("key"));
  const auto first = mac.Sign(AsBytes("message"));
  EXPECT_NE(first, mac.Sign(AsBytes("massage")));
  EXPECT_EQ(first, mac.Sign(AsBytes("message")));
}

}  // namespace
}  // namespace kvasir
