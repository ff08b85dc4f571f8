// kill -9 at named points and at any moment, of the real server with clients at work: no
// durable put that was acknowledged is lost, no byte is wrong, nothing that was removed or
// replaced comes back. 100 times, and 25 where a sanitizer slows everything down; KILLS=1000
// in the environment makes it so many.

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

#include "tests/integration/faults/faults.h"
#include "tests/integration/faults/kill_run.h"

namespace kvasir {
namespace {

using testing::IsEmpty;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kKills = 25;
#else
constexpr uint64_t kKills = 100;
#endif
constexpr uint64_t kCallsMax = 150;
// A quarter of the kills are over a disk that is too small for everything.
constexpr uint64_t kSmallDiskShare = 4;
constexpr uint64_t kLivesOfALiar = 20;

uint64_t Kills() {
  const char* const asked = std::getenv("KILLS");
  return asked == nullptr ? kKills : std::strtoul(asked, nullptr, 10);
}

// Every named point in turn, the first time and later, and every other time any moment.
KillRun::Life LifeOf(uint64_t kill, std::mt19937_64* random) {
  if (kill % 2 == 1) return {.death = std::nullopt, .calls_max = 1 + (*random)() % kCallsMax};
  const auto point = static_cast<FailPoint>(kill / 2 % kFailPoints);
  const uint64_t round = kill / 2 / kFailPoints;
  return {.death = Faults::Death{.point = point, .count = 1 + (*random)() % (1 + 4 * round)},
          .calls_max = 4 * kCallsMax};
}

void Print(std::string_view name, const KillRun& run) {
  const KillRun::Totals& totals = run.totals();
  fmt::print("{}: {} kills; OK: {} durable puts, {} others, {} removals, {} reads; "
             "{} refused; {} blocks seen after restarts\n",
             name, totals.kills, totals.durable_puts, totals.other_puts, totals.removals,
             totals.reads, totals.refused, totals.recovered);
  for (const auto& [point, deaths] : totals.deaths) {
    fmt::print("  {} deaths at {}\n", deaths, FailPointName(point));
  }
}

class KillTest : public ::testing::Test {
 protected:
  KillTest() { std::filesystem::remove_all(directory_); }
  ~KillTest() override { std::filesystem::remove_all(directory_); }

  std::string data_dir() const { return directory_ + "/data"; }
  std::string faults() const { return directory_ + "/faults"; }

  // Lives until `kills` are done or something is wrong.
  void Live(KillRun* run, uint64_t kills, uint64_t seed) {
    std::mt19937_64 random(seed);
    for (uint64_t kill = 0; kill < kills && run->faults_seen().empty(); ++kill) {
      ASSERT_TRUE(run->Live(LifeOf(kill, &random)).ok()) << "kill " << kill;
    }
    const absl::Status finished = run->Finish();
    ASSERT_TRUE(finished.ok()) << finished;
  }

  const std::string directory_ = ::testing::TempDir() + "kvasir_kill";
};

TEST_F(KillTest, LosesNothingThatWasPromisedAndBringsNothingBack) {
  const uint64_t kills = Kills() - Kills() / kSmallDiskShare;
  KillRun run({.data_dir = data_dir(), .seed = 1});
  Live(&run, kills, 1);
  Print("large disk", run);
  EXPECT_THAT(run.faults_seen(), IsEmpty());
  EXPECT_EQ(run.totals().kills, kills);
  EXPECT_GT(run.totals().durable_puts, kills);
  if (kills >= 2 * kFailPoints) {
    EXPECT_EQ(run.totals().deaths.size(), kFailPoints);
  }
}

TEST_F(KillTest, ShowsNothingStaleOverADiskThatIsFull) {
  const uint64_t kills = Kills() / kSmallDiskShare;
  KillRun run({.data_dir = data_dir(), .disk = "8MiB", .whole = false, .seed = 2});
  Live(&run, kills, 2);
  Print("small disk", run);
  EXPECT_THAT(run.faults_seen(), IsEmpty());
  EXPECT_EQ(run.totals().kills, kills);
}

TEST_F(KillTest, CatchesAServerThatAcknowledgesTooEarly) {
  Faults::Begin(faults(), Fault::kEarlyAcknowledgement);
  KillRun run({.data_dir = data_dir(), .faults = faults(), .seed = 3});
  Live(&run, kLivesOfALiar, 3);
  EXPECT_THAT(run.faults_seen(), testing::Contains(testing::HasSubstr("is lost")));
}

TEST_F(KillTest, CatchesAServerThatForgetsRemovals) {
  Faults::Begin(faults(), Fault::kForgottenRemoval);
  KillRun run({.data_dir = data_dir(), .faults = faults(), .seed = 4});
  Live(&run, kLivesOfALiar, 4);
  EXPECT_THAT(run.faults_seen(), testing::Contains(testing::HasSubstr("is seen")));
}

}  // namespace
}  // namespace kvasir
