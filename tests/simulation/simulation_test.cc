#include "tests/simulation/simulation.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <optional>

namespace kvasir::sim {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr uint64_t kSeeds = 300;
#else
constexpr uint64_t kSeeds = 2'000;
#endif

std::optional<uint64_t> NumberFromEnvironment(const char* name) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  return std::strtoull(text, nullptr, 10);
}

// KVASIR_SIM_SEEDS=n: so many seeds, from KVASIR_SIM_FIRST or 1 on. KVASIR_SIM_SEED=n:
// this one alone, with its trace.
Report SimulateAll() {
  Report sum;
  const std::optional<uint64_t> only = NumberFromEnvironment("KVASIR_SIM_SEED");
  const uint64_t count = NumberFromEnvironment("KVASIR_SIM_SEEDS").value_or(kSeeds);
  const uint64_t first =
      only.value_or(NumberFromEnvironment("KVASIR_SIM_FIRST").value_or(1));
  const uint64_t last = only.value_or(first + count - 1);
  for (uint64_t seed = first; seed <= last && !::testing::Test::HasFailure(); ++seed) {
    const Report report = Simulate({.seed = seed, .trace = only.has_value()});
    if (only.has_value()) fmt::print("{}", report.trace);
    EXPECT_TRUE(report.violations.empty()) << Explain(report);
    sum.Add(report);
  }
  fmt::print("{}", sum.Summary());
  return sum;
}

void ExpectEveryTrouble(const Report& sum) {
  // A world in which nothing happens proves nothing: much was stored and read ...
  EXPECT_GT(sum.clients.Gets(Outcome::kOk), 3 * kSeeds);
  EXPECT_GT(sum.clients.Puts(Outcome::kOk), 3 * kSeeds);
  EXPECT_GT(sum.oracle.reuses, 3 * kSeeds);
  // ... and every trouble came up.
  EXPECT_GT(sum.clients.Gets(Outcome::kLate), 0u);
  EXPECT_GT(sum.clients.Gets(Outcome::kChecksum), 0u);
  EXPECT_GT(sum.clients.Puts(Outcome::kLate), 0u);
  EXPECT_GT(sum.clients.Puts(Outcome::kChecksum), 0u);
  EXPECT_GT(sum.clients.Puts(Outcome::kRefused), 0u);
  EXPECT_GT(sum.clients.put_retries, 0u);
  EXPECT_GT(sum.clients.kills, 0u);
  EXPECT_GT(sum.clients.pauses, 0u);
  EXPECT_GT(sum.restarts, 0u);
  EXPECT_GT(sum.fabric.landed_late, 0u);
  EXPECT_GT(sum.fabric.cut_off, 0u);
  EXPECT_GT(sum.fabric.refused, 0u);
  EXPECT_GT(sum.network.lost, 0u);
  EXPECT_GT(sum.network.duplicated, 0u);
  EXPECT_GT(sum.network.resets, 0u);
  EXPECT_GT(sum.core.expired_reads, 0u);
  EXPECT_GT(sum.core.expired_writes, 0u);
  EXPECT_GT(sum.core.expired_pins, 0u);
  EXPECT_GT(sum.core.expired_sessions, 0u);
}

// Those of the disk, of worlds that have one.
void ExpectEveryTroubleOfTheDisk(const Report& sum) {
  EXPECT_GT(sum.disk.stores, 3 * kSeeds);
  EXPECT_GT(sum.disk.deletes, kSeeds);
  EXPECT_GT(sum.oracle.copies, kSeeds);
  EXPECT_GT(sum.oracle.settled_late, kSeeds);
  EXPECT_GT(sum.oracle.recovered, kSeeds / 2);
  EXPECT_GT(sum.oracle.durable_recovered, kSeeds / 2);
  EXPECT_GT(sum.oracle.rolled_back, 0u);
  EXPECT_GT(sum.oracle.told_durable, 0u);
  EXPECT_GT(sum.disk.failures, 0u);
  EXPECT_GT(sum.disk.cut_off, 0u);
  EXPECT_GT(sum.network.put_off, 0u);
}

TEST(Simulation, ManySeedsShowNoWrongHitAndNoWriteIntoReusedMemory) {
  const Report sum = SimulateAll();
  if (NumberFromEnvironment("KVASIR_SIM_SEED").has_value()) return;
  ExpectEveryTrouble(sum);
  ExpectEveryTroubleOfTheDisk(sum);
}

TEST(Simulation, ASeedDoesTheSameEachTime) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(Simulate({.seed = seed}).fingerprint, Simulate({.seed = seed}).fingerprint)
        << "seed " << seed;
  }
}

}  // namespace
}  // namespace kvasir::sim
