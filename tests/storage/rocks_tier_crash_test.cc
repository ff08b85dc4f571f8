// Kills a process that writes to a tier, at chosen operations of the file system and at
// moments of its work, and looks at what is there afterwards: every acknowledged block
// byte by byte, nothing of what was removed, and of what was under way all or none.

#include <fmt/core.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "gtest/gtest.h"
#include "storage/rocks_tier.h"
#include "tests/storage/tier_batch.h"
#include "tests/storage/tier_files.h"

namespace kvasir {
namespace {

constexpr char kWriter[] = "tests/storage/tier_writer";
constexpr int kOperations = 60;

struct Run {
  uint64_t seed = 1;
  uint64_t die_at = 0;     // operation of the file system; 0: none
  int kill_after_lines = 0;  // 0: not
};

// Starts the writer, reads what it says, kills it if that is asked for, and waits for its
// end. Lines that were not finished are dropped.
std::vector<std::string> RunWriter(const std::string& directory, const Run& run) {
  int ends[2];
  KV_CHECK(::pipe(ends) == 0);
  const pid_t writer = ::fork();
  KV_CHECK(writer >= 0);
  if (writer == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    ::execl(kWriter, kWriter, directory.c_str(), std::to_string(run.seed).c_str(),
            std::to_string(run.die_at).c_str(), std::to_string(kOperations).c_str(),
            nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  FILE* const said = ::fdopen(ends[0], "r");
  std::vector<std::string> lines;
  char line[4096];
  while (std::fgets(line, sizeof(line), said) != nullptr) {
    lines.emplace_back(line);
    if (lines.back().back() != '\n') lines.pop_back();
    if (static_cast<int>(lines.size()) == run.kill_after_lines) ::kill(writer, SIGKILL);
  }
  std::fclose(said);
  int status = 0;
  KV_CHECK(::waitpid(writer, &status, 0) == writer);
  // Killed, or done; anything else is a failed check in the writer.
  EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL
                                  : WEXITSTATUS(status) == 0)
      << status;
  return lines;
}

// What must be there, key by key, after what was said.
class Expectation {
 public:
  void Hear(const std::vector<std::string>& lines) {
    under_way_.clear();
    for (const std::string& line : lines) {
      std::istringstream words(line);
      Operation operation;
      std::string verb, key;
      int thread = 0;
      words >> thread >> verb;
      if (verb == "done") {
        Apply(under_way_[thread]);
        under_way_.erase(thread);
        continue;
      }
      words >> operation.generation;
      while (words >> key) operation.keys.insert(key);
      operation.stored = verb == "store";
      under_way_[thread] = operation;
    }
  }

  // Compares, and takes over what is there.
  void Check(Tier* tier) {
    std::set<std::string> keys;
    for (const auto& [key, generation] : there_) keys.insert(key);
    for (const auto& [thread, operation] : under_way_) {
      keys.insert(operation.keys.begin(), operation.keys.end());
      CheckAllOrNone(tier, operation);
    }
    for (const std::string& key : keys) CheckKey(tier, key);
    EXPECT_EQ(tier->stats().lost_blocks, 0u);
    EXPECT_EQ(tier->stats().corrupt_blocks, 0u);
  }

  size_t acknowledged() const { return acknowledged_; }

 private:
  struct Operation {
    bool stored = false;
    uint64_t generation = 0;
    std::set<std::string> keys;
  };

  void Apply(const Operation& operation) {
    ++acknowledged_;
    for (const std::string& key : operation.keys) {
      there_[key] = operation.stored ? operation.generation : 0;
    }
  }
  static uint64_t GenerationOf(Tier* tier, const std::string& key) {
    const std::optional<TierBlock> found = tier->Find(key);
    return found ? found->generation : 0;
  }
  void CheckAllOrNone(Tier* tier, const Operation& operation) {
    if (!operation.stored) return;
    size_t stored = 0;
    for (const std::string& key : operation.keys) {
      stored += GenerationOf(tier, key) == operation.generation;
    }
    EXPECT_TRUE(stored == 0 || stored == operation.keys.size())
        << stored << " of " << operation.keys.size();
  }
  void CheckKey(Tier* tier, const std::string& key) {
    std::set<uint64_t> allowed = {there_[key]};
    for (const auto& [thread, operation] : under_way_) {
      if (!operation.keys.contains(key)) continue;
      allowed.insert(operation.stored ? operation.generation : 0);
    }
    const uint64_t generation = GenerationOf(tier, key);
    EXPECT_TRUE(allowed.contains(generation))
        << key << ": generation " << generation << ", expected " << there_[key];
    if (generation != 0) {
      EXPECT_TRUE(LoadDescribed(tier, key, *tier->Find(key)).ok()) << key;
    }
    there_[key] = generation;
  }

  std::map<std::string, uint64_t> there_;  // key -> generation, 0: none
  std::map<int, Operation> under_way_;     // by thread
  size_t acknowledged_ = 0;
};

void RunAndCheck(const std::string& directory, const Run& run, Expectation* expected) {
  SCOPED_TRACE(fmt::format("seed {}, die at {}, kill after {} lines", run.seed,
                           run.die_at, run.kill_after_lines));
  expected->Hear(RunWriter(directory, run));
  auto tier =
      RocksTier::Open({.directory = directory, .capacity_bytes = 64 * kMiB}, {});
  ASSERT_TRUE(tier.ok()) << tier.status();
  expected->Check(tier->get());
}

TEST(RocksTierCrash, DeathAtAnyOperationOfTheFileSystemLosesNothing) {
  constexpr uint64_t kSeed = 7;
  std::mt19937_64 random(kSeed);
  const TierFiles files;
  Expectation expected;
  // The first are of a database that is being made.
  for (uint64_t die_at = 1; die_at <= 10 && !testing::Test::HasFailure(); ++die_at) {
    RunAndCheck(files.tier(), {.seed = die_at, .die_at = die_at * 3}, &expected);
  }
  for (int i = 0; i < 15 && !testing::Test::HasFailure(); ++i) {
    RunAndCheck(files.tier(), {.seed = random(), .die_at = 30 + random() % 600},
                &expected);
  }
  fmt::print("seed {}: {} operations acknowledged\n", kSeed, expected.acknowledged());
}

TEST(RocksTierCrash, DeathAtAnyMomentLosesNothing) {
  constexpr uint64_t kSeed = 11;
  std::mt19937_64 random(kSeed);
  const TierFiles files;
  Expectation expected;
  for (int i = 0; i < 15 && !testing::Test::HasFailure(); ++i) {
    const int lines = 1 + static_cast<int>(random() % (4 * kOperations));
    RunAndCheck(files.tier(), {.seed = random(), .kill_after_lines = lines}, &expected);
  }
  EXPECT_GT(expected.acknowledged(), 0u);
  fmt::print("seed {}: {} operations acknowledged\n", kSeed, expected.acknowledged());
}

}  // namespace
}  // namespace kvasir
