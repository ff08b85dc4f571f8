// A process that stores and removes blocks until it is killed, and tells what it does.
//
// usage: tier_writer DIRECTORY SEED DIE_AT OPERATIONS
//
// Each of two threads has keys of its own, "<thread>/<n>", and says on standard output,
// in lines that are written at once:
//   <thread> store <generation> <key>...    before a Store of these, and
//   <thread> delete <generation> <key>      before a Delete;
//   <thread> done                           when it was acknowledged.

#include <fmt/core.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "base/check.h"
#include "base/executor.h"
#include "base/limits.h"
#include "storage/rocks_tier.h"
#include "tests/storage/dying_file_system.h"
#include "tests/storage/tier_batch.h"

namespace kvasir {
namespace {

constexpr int kThreads = 2;
constexpr int kKeysPerThread = 20;

void Say(const std::string& line) {
  KV_CHECK(::write(STDOUT_FILENO, line.data(), line.size()) ==
           static_cast<ssize_t>(line.size()));
}

class Writer {
 public:
  Writer(Tier* tier, int thread, uint64_t seed, std::atomic<uint64_t>* generation)
      : tier_(tier), thread_(thread), random_(seed), generation_(generation) {}

  void Step() {
    if (random_() % 4 == 0) {
      Delete();
    } else {
      Store();
    }
    Say(fmt::format("{} done\n", thread_));
  }

 private:
  std::string RandomKey() {
    return fmt::format("{}/{}", thread_, random_() % kKeysPerThread);
  }
  void Store() {
    const uint64_t generation = generation_->fetch_add(1) + 1;
    std::set<std::string> keys;
    for (uint64_t i = 0; i <= random_() % 4; ++i) keys.insert(RandomKey());
    TierBatch batch;
    std::string line = fmt::format("{} store {}", thread_, generation);
    for (const std::string& key : keys) {
      batch.Add(key, generation, 1 + random_() % 20'000);
      line += " " + key;
    }
    Say(line + "\n");
    const bool power = random_() % 2 == 0;
    KV_CHECK(tier_
                 ->Store(batch.records(),
                         power ? Durability::kPower : Durability::kProcess)
                 .ok());
  }
  void Delete() {
    const uint64_t generation = generation_->fetch_add(1) + 1;
    const std::string key = RandomKey();
    Say(fmt::format("{} delete {} {}\n", thread_, generation, key));
    const Tier::Tombstone tombstone{.key = key, .generation = generation};
    KV_CHECK(tier_->Delete({&tombstone, 1}).ok());
  }

  Tier* const tier_;
  const int thread_;
  std::mt19937_64 random_;
  std::atomic<uint64_t>* const generation_;
};

int Main(int argc, char** argv) {
  KV_CHECK(argc == 5);
  const uint64_t seed = std::strtoull(argv[2], nullptr, 10);
  const std::unique_ptr<rocksdb::Env> env =
      NewDyingEnv(std::strtoull(argv[3], nullptr, 10));
  const int operations = std::atoi(argv[4]);
  auto tier = RocksTier::Open(
      {.directory = argv[1], .capacity_bytes = 64 * kMiB, .env = env.get()}, {});
  KV_CHECK(tier.ok());
  std::atomic<uint64_t> generation{(*tier)->generation_max()};
  ThreadPool pool({.name = "tier-writer", .threads = kThreads});
  for (int thread = 0; thread < kThreads; ++thread) {
    KV_CHECK(pool.Submit([&, thread] {
      Writer writer(tier->get(), thread, seed + thread, &generation);
      for (int i = 0; i < operations; ++i) writer.Step();
    }));
  }
  return 0;
}

}  // namespace
}  // namespace kvasir

int main(int argc, char** argv) { return kvasir::Main(argc, argv); }
