#include "base/nearest_name.h"

#include <gtest/gtest.h>

#include <array>

namespace kvasir {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"listen", "data_listen", "memory",
                                                    "data_dir", "log_level"};

TEST(NearestName, AForgottenLetterIsFound) {
  EXPECT_EQ(NearestName("lisen", kNames), "listen");
  EXPECT_EQ(NearestName("memry", kNames), "memory");
}

TEST(NearestName, SwappedLettersAreFound) {
  EXPECT_EQ(NearestName("memroy", kNames), "memory");
}

TEST(NearestName, DashesAndCapitalsAreNoDifference) {
  EXPECT_EQ(NearestName("DATA-LISTEN", kNames), "data_listen");
}

TEST(NearestName, AnythingHasANearestName) {
  EXPECT_EQ(NearestName("", kNames), "listen");
  EXPECT_FALSE(NearestName(std::string(100'000, 'x'), kNames).empty());
}

}  // namespace
}  // namespace kvasir
