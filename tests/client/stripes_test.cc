#include "client/stripes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace kvasir {
namespace {

using ::testing::ElementsAre;

constexpr uint64_t kMiBytes = 1024 * 1024;

TEST(CutStripes, EqualItemsAreCutInHalves) {
  EXPECT_THAT(CutStripes(std::vector<uint64_t>(16, kMiBytes), 2),
              ElementsAre(Stripe{0, 8}, Stripe{8, 8}));
}

TEST(CutStripes, WhatIsSmallStaysWhole) {
  EXPECT_THAT(CutStripes(std::vector<uint64_t>(3, kMiBytes), 2), ElementsAre(Stripe{0, 3}));
  EXPECT_THAT(CutStripes(std::vector<uint64_t>(1024, 64), 2), ElementsAre(Stripe{0, 1024}));
}

TEST(CutStripes, AsManyAsThereAreLanes) {
  EXPECT_THAT(CutStripes(std::vector<uint64_t>(16, kMiBytes), 1), ElementsAre(Stripe{0, 16}));
  EXPECT_THAT(CutStripes(std::vector<uint64_t>(9, kMiBytes), 3),
              ElementsAre(Stripe{0, 3}, Stripe{3, 3}, Stripe{6, 3}));
}

TEST(CutStripes, OneItemIsNeverCut) {
  EXPECT_THAT(CutStripes(std::vector<uint64_t>{256 * kMiBytes}, 2), ElementsAre(Stripe{0, 1}));
  EXPECT_THAT(CutStripes({}, 2), ElementsAre(Stripe{0, 0}));
}

TEST(CutStripes, BytesCountAndNotItems) {
  EXPECT_THAT(CutStripes(std::vector<uint64_t>{8 * kMiBytes, kMiBytes, kMiBytes}, 2),
              ElementsAre(Stripe{0, 1}, Stripe{1, 2}));
  EXPECT_THAT(CutStripes(std::vector<uint64_t>{kMiBytes, kMiBytes, 8 * kMiBytes}, 2),
              ElementsAre(Stripe{0, 2}, Stripe{2, 1}));
}

TEST(CutStripes, EveryItemIsInOneStripeOfAnyBatch) {
  std::mt19937_64 random(20261121);
  for (int round = 0; round < 1000; ++round) {
    std::vector<uint64_t> sizes(1 + random() % 40);
    for (uint64_t& size : sizes) size = random() % (4 * kMiBytes);
    const size_t stripes_max = 1 + random() % 5;
    const std::vector<Stripe> stripes = CutStripes(sizes, stripes_max);
    ASSERT_LE(stripes.size(), stripes_max);
    size_t next = 0;
    for (const Stripe& stripe : stripes) {
      ASSERT_EQ(stripe.first, next);
      ASSERT_GT(stripe.count, 0u);
      next += stripe.count;
    }
    ASSERT_EQ(next, sizes.size());
  }
}

}  // namespace
}  // namespace kvasir
