#include "storage/settlements.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "base/limits.h"

namespace kvasir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Whether the result of `id` is there, and has `code`.
bool IsSettled(const Settlements& settlements, uint64_t id, absl::StatusCode code) {
  const std::optional<absl::Status> result = settlements.Result(id);
  return result.has_value() && result->code() == code;
}

TEST(Settlements, NumbersAreNotZeroAndNeverTheSame) {
  Settlements settlements;
  const uint64_t first = settlements.Open();
  settlements.Settle(first, absl::OkStatus());
  const uint64_t second = settlements.Open();
  EXPECT_NE(first, 0u);
  EXPECT_GT(second, first);
}

TEST(Settlements, ThereIsNoResultWhileItIsOpen) {
  Settlements settlements;
  EXPECT_FALSE(settlements.Result(settlements.Open()).has_value());
}

TEST(Settlements, EachKeepsItsOwnResult) {
  Settlements settlements;
  const uint64_t first = settlements.Open(), second = settlements.Open();
  settlements.Settle(second, absl::UnavailableError("disk"));
  EXPECT_FALSE(settlements.Result(first).has_value());
  EXPECT_TRUE(IsSettled(settlements, second, absl::StatusCode::kUnavailable));
  settlements.Settle(first, absl::OkStatus());
  EXPECT_TRUE(IsSettled(settlements, first, absl::StatusCode::kOk));
  // As often as anybody asks.
  EXPECT_TRUE(IsSettled(settlements, first, absl::StatusCode::kOk));
}

TEST(Settlements, WhatWasNeverOpenedIsNotFound) {
  Settlements settlements;
  const uint64_t next = settlements.Open() + 1;
  EXPECT_TRUE(IsSettled(settlements, next, absl::StatusCode::kNotFound));
  EXPECT_FALSE(settlements.Await(next, [] { FAIL(); }));
}

TEST(Settlements, WhoAwaitsIsToldOnceInOrder) {
  Settlements settlements;
  std::vector<int> told;
  const uint64_t id = settlements.Open();
  ASSERT_TRUE(settlements.Await(id, [&told] { told.push_back(1); }));
  ASSERT_TRUE(settlements.Await(id, [&told] { told.push_back(2); }));
  const uint64_t other = settlements.Open();
  settlements.Settle(other, absl::OkStatus());
  EXPECT_THAT(told, IsEmpty());
  settlements.Settle(id, absl::OkStatus());
  EXPECT_THAT(told, ElementsAre(1, 2));
}

TEST(Settlements, WhoComesLateNeedNotWait) {
  Settlements settlements;
  const uint64_t id = settlements.Open();
  settlements.Settle(id, absl::OkStatus());
  EXPECT_FALSE(settlements.Await(id, [] { FAIL(); }));
}

TEST(Settlements, WhoIsToldFindsTheResultAndMayOpenAnother) {
  Settlements settlements;
  const uint64_t id = settlements.Open();
  bool found = false;
  uint64_t another = 0;
  ASSERT_TRUE(settlements.Await(id, [&] {
    found = IsSettled(settlements, id, absl::StatusCode::kResourceExhausted);
    another = settlements.Open();
  }));
  settlements.Settle(id, absl::ResourceExhaustedError("disk"));
  EXPECT_TRUE(found);
  EXPECT_FALSE(settlements.Result(another).has_value());
}

TEST(Settlements, TheOldestResultIsForgottenAndWhatIsOpenIsNot) {
  Settlements settlements;
  const uint64_t open = settlements.Open();
  const uint64_t oldest = settlements.Open();
  settlements.Settle(oldest, absl::OkStatus());
  const uint64_t next = settlements.Open();
  settlements.Settle(next, absl::OkStatus());
  for (size_t i = 2; i < kMaxSettled; ++i) {
    settlements.Settle(settlements.Open(), absl::OkStatus());
  }
  EXPECT_TRUE(IsSettled(settlements, oldest, absl::StatusCode::kOk));
  settlements.Settle(settlements.Open(), absl::OkStatus());
  EXPECT_TRUE(IsSettled(settlements, oldest, absl::StatusCode::kNotFound));
  EXPECT_TRUE(IsSettled(settlements, next, absl::StatusCode::kOk));
  EXPECT_FALSE(settlements.Result(open).has_value());
}

TEST(SettlementsDeathTest, NothingIsSettledTwice) {
  Settlements settlements;
  const uint64_t id = settlements.Open();
  settlements.Settle(id, absl::OkStatus());
  EXPECT_DEATH(settlements.Settle(id, absl::OkStatus()), "check failed");
}

}  // namespace
}  // namespace kvasir
