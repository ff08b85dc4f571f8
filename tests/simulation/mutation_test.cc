#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/rules.h"
#include "tests/simulation/simulation.h"

// The simulation has to notice when a rule is missing; otherwise its silence would mean
// nothing. Each rule is switched off in the test's own build of the core and the client,
// together with those that would hide its absence, and a violation of the kind that the
// rule prevents has to turn up. With only those others off it must not.
namespace kvasir::sim {
namespace {

constexpr uint64_t kSeedsWithout = 500;  // within which a missing rule is noticed
constexpr uint64_t kSeedsWith = 300;     // in which nothing is noticed otherwise

// Off while in scope.
class Without {
 public:
  explicit Without(std::initializer_list<bool*> switches) : rules_(switches) {
    for (bool* const rule : rules_) *rule = false;
  }
  ~Without() {
    for (bool* const rule : rules_) *rule = true;
  }

 private:
  const std::vector<bool*> rules_;
};

bool Shows(const Report& report, std::string_view kind) {
  return std::any_of(report.violations.begin(), report.violations.end(),
                     [kind](const std::string& violation) {
                       return violation.find(kind) != std::string::npos;
                     });
}

// The first seed that shows a violation of this kind, if one does.
std::optional<uint64_t> FindViolation(std::string_view kind, bool damage) {
  for (uint64_t seed = 1; seed <= kSeedsWithout; ++seed) {
    const Report report = Simulate({.seed = seed, .damage = damage});
    if (!Shows(report, kind)) continue;
    fmt::print("seed {}: {}\n", seed, report.violations.front());
    return seed;
  }
  return std::nullopt;
}

void ExpectNoViolation(bool damage) {
  for (uint64_t seed = 1; seed <= kSeedsWith; ++seed) {
    const Report report = Simulate({.seed = seed, .damage = damage});
    ASSERT_TRUE(report.violations.empty()) << Explain(report);
  }
}

TEST(Mutation, WithAllRulesNothingIsFound) { ExpectNoViolation(/*damage=*/true); }

TEST(Mutation, WithoutTheFenceALateWriteLandsInReusedMemory) {
  const Without without{&rules::kFence};
  EXPECT_TRUE(FindViolation("in reused memory", /*damage=*/true).has_value());
}

TEST(Mutation, WithoutS1AnEndedSessionGoesOnHoldingMemory) {
  const Without without{&rules::kS1};
  EXPECT_TRUE(
      FindViolation("after the last client there are", /*damage=*/true).has_value());
}

TEST(Mutation, WithoutS2AnOldTokenWritesWhereItMayNot) {
  const Without without{&rules::kS2};
  EXPECT_TRUE(FindViolation("a write of", /*damage=*/true).has_value());
}

TEST(Mutation, WithoutChecksumsDamagedBytesAreAHit) {
  const Without without{&rules::kChecksum};
  EXPECT_TRUE(FindViolation("WRONG HIT", /*damage=*/true).has_value());
}

TEST(Mutation, WithoutChecksumsAndDamageNothingIsFound) {
  const Without without{&rules::kChecksum};
  ExpectNoViolation(/*damage=*/false);
}

TEST(Mutation, WithoutTheDeadlineBytesOfReusedMemoryAreAHit) {
  // The checksum hides it: those bytes do not match.
  const Without without{&rules::kDeadline, &rules::kChecksum};
  EXPECT_TRUE(FindViolation("WRONG HIT", /*damage=*/false).has_value());
}

TEST(Mutation, WithoutSettlementsAPutIsAcknowledgedThatACrashUndoes) {
  const Without without{&rules::kSettled};
  EXPECT_TRUE(FindViolation("at a restart", /*damage=*/true).has_value());
}

TEST(Mutation, WithoutTheMaskWhatWasReplacedOrRemovedIsReadAgain) {
  const Without without{&rules::kHidden};
  EXPECT_TRUE(FindViolation("is not the current one", /*damage=*/true).has_value());
}

TEST(Mutation, WithoutTheRecheckACopyOfWhatWasRemovedIsPublished) {
  const Without without{&rules::kRechecked};
  EXPECT_TRUE(FindViolation("is not the current one", /*damage=*/true).has_value());
}

TEST(Mutation, WithoutALookAtTheIndexWhatWasRemovedIsStored) {
  const Without without{&rules::kCurrent};
  EXPECT_TRUE(FindViolation("which is not there", /*damage=*/true).has_value());
}

TEST(Mutation, WithoutALookAtItsDurabilityABlockIsPromisedThatACrashTakes) {
  const Without without{&rules::kAsDurable};
  EXPECT_TRUE(FindViolation("at a restart", /*damage=*/true).has_value());
}

}  // namespace
}  // namespace kvasir::sim
