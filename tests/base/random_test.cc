#include "base/random.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace kvasir {
namespace {

TEST(SecureRandomTest, TwoFillsDiffer) {
  std::array<std::byte, 32> a{};
  std::array<std::byte, 32> b{};
  SecureRandom(a);
  SecureRandom(b);
  EXPECT_NE(a, b);
  EXPECT_NE(SecureRandom64(), SecureRandom64());
}

// The kernel may give large requests in parts; a tail of 16 zeros has odds of 2^-128.
TEST(SecureRandomTest, ALargeFillReachesItsEndAndGoesNoFurther) {
  constexpr size_t kSize = 1 << 20;
  std::vector<std::byte> bytes(kSize + 16);
  SecureRandom(std::span(bytes).first(kSize));
  const std::vector<std::byte> zeros(16);
  EXPECT_NE(std::vector(bytes.begin() + kSize - 16, bytes.begin() + kSize), zeros);
  EXPECT_EQ(std::vector(bytes.begin() + kSize, bytes.end()), zeros);
}

TEST(SecureRandomTest, NothingToFillIsNoError) {
  SecureRandom({});
  std::array<std::byte, 1> untouched{std::byte{0x5a}};
  SecureRandom(std::span(untouched).first(0));
  EXPECT_EQ(untouched[0], std::byte{0x5a});
}

}  // namespace
}  // namespace kvasir
