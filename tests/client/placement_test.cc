#include "client/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace kvasir {
namespace {

Placement MakePlacement(const std::vector<Placement::Node>& nodes) {
  absl::StatusOr<Placement> placement = Placement::Make(nodes);
  EXPECT_TRUE(placement.ok()) << placement.status();
  return *std::move(placement);
}

std::vector<size_t> Count(const Placement& placement, int keys) {
  std::vector<size_t> counts(placement.nodes());
  for (int i = 0; i < keys; ++i) ++counts[placement.NodeFor("key-" + std::to_string(i))];
  return counts;
}

// Any other client, in any language, must agree with these.
TEST(Placement, PinnedVectors) {
  const Placement placement = MakePlacement({{"kv-0", 1}, {"kv-1", 1}, {"kv-2", 2}});
  std::string owners;
  for (int i = 0; i < 32; ++i) {
    owners += static_cast<char>('0' + placement.NodeFor("block-" + std::to_string(i)));
  }
  EXPECT_EQ(owners, "01122102202022112102212022101111");
  EXPECT_EQ(placement.NodeFor(""), 2u);
  EXPECT_EQ(placement.NodeFor(std::string("\0\xff", 2)), 0u);
}

TEST(Placement, OneNodeOwnsEverything) {
  EXPECT_EQ(MakePlacement({{"only", 1}}).NodeFor("anything"), 0u);
}

TEST(Placement, TheOrderOfTheNodesDoesNotMatter) {
  const Placement one = MakePlacement({{"a", 1}, {"b", 1}, {"c", 1}});
  const Placement other = MakePlacement({{"c", 1}, {"a", 1}, {"b", 1}});
  const size_t renamed[] = {1, 2, 0};  // a, b, c in the other's order
  for (int i = 0; i < 500; ++i) {
    const std::string key = std::to_string(i);
    EXPECT_EQ(renamed[one.NodeFor(key)], other.NodeFor(key)) << key;
  }
}

TEST(Placement, ANodeThatLeavesMovesOnlyItsOwnKeys) {
  const Placement before = MakePlacement({{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}});
  const Placement after = MakePlacement({{"a", 1}, {"b", 1}, {"c", 1}});
  for (int i = 0; i < 2000; ++i) {
    const std::string key = std::to_string(i);
    if (before.NodeFor(key) == 3) continue;
    EXPECT_EQ(after.NodeFor(key), before.NodeFor(key)) << key;
  }
}

TEST(Placement, KeysSpreadEvenlyOverEqualNodes) {
  for (const size_t count :
       Count(MakePlacement({{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}}), 20'000)) {
    EXPECT_NEAR(static_cast<double>(count), 5'000, 300);
  }
}

TEST(Placement, AWeightIsAShare) {
  const std::vector<size_t> counts = Count(MakePlacement({{"a", 1}, {"b", 3}}), 20'000);
  EXPECT_NEAR(static_cast<double>(counts[0]), 5'000, 300);
}

TEST(Placement, NodesThatMakeNoSenseAreRefused) {
  using Nodes = std::vector<Placement::Node>;
  for (const Nodes& nodes :
       {Nodes{}, Nodes{{"", 1}}, Nodes{{"a", 1}, {"a", 2}}, Nodes{{"a", 0}}, Nodes{{"a", -1}},
        Nodes{{"a", std::numeric_limits<double>::quiet_NaN()}},
        Nodes{{"a", std::numeric_limits<double>::infinity()}}}) {
    EXPECT_EQ(Placement::Make(nodes).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace kvasir
