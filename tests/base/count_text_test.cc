#include "base/count_text.h"

#include "gtest/gtest.h"

namespace kvasir {
namespace {

TEST(CountText, OneIsNotMany) {
  EXPECT_EQ(CountText(0, "block"), "0 blocks");
  EXPECT_EQ(CountText(1, "block"), "1 block");
  EXPECT_EQ(CountText(2, "block"), "2 blocks");
}

}  // namespace
}  // namespace kvasir
