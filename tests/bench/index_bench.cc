// What the index costs a key, and how fast it answers.
//
// Commits blocks without extents (10 M blocks of 64 KiB would need 640 GB) the way
// BlockStore does, into the real index and eviction order, and looks at how the process
// grows. A key's cost is that growth, less the keys' own bytes, a key.
//
// usage: index_bench [KEYS]   (default 10000000; needs about 210 B a key)

#include <atomic>
#include <fmt/core.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "storage/block_internal.h"
#include "storage/index.h"
#include "storage/key_listing.h"
#include "storage/victim_queue.h"
#include "tests/bench/engine_key.h"
#include "tests/bench/measure.h"

namespace kvasir::bench {
namespace {

class Filled {
 public:
  explicit Filled(uint64_t keys)
      : keys_(keys), victims_(EvictionPolicyKind::kS3Fifo, keys * 64 * kKiB) {
    for (uint64_t i = 0; i < keys; ++i) {
      Block* const block = Block::New(EngineKey(i), "", 64 * kKiB, i + 1);
      KV_CHECK(index_.Bind(block).ok());
      KV_CHECK(index_.Publish(block, &generations_).status.ok());
      victims_.Add(block);
      KV_CHECK(block->Drop() == Block::Dropped::kHeld);
    }
  }
  ~Filled() {
    index_.TakeAll([this](Block* block) {
      victims_.Retire(block, VictimQueue::Why::kRemoved);
      Block::Delete(block);
    });
  }

  // Lookups a second, as Fetch does them; a half of them are misses.
  double LookUp(size_t lookups) {
    std::mt19937_64 random(1);
    std::vector<std::string> keys;
    for (size_t i = 0; i < lookups; ++i) keys.push_back(EngineKey(random() % (2 * keys_)));
    size_t hits = 0;
    const double seconds = Seconds([&] {
      for (const std::string& key : keys) {
        Block* const block = index_.Find(key);
        if (block == nullptr) continue;
        ++hits;
        victims_.Touch(block);
        KV_CHECK(block->Drop() == Block::Dropped::kHeld);
      }
    });
    KV_CHECK(hits > lookups / 3);
    return static_cast<double>(lookups) / seconds;
  }

  // Seconds for one page of keys with a prefix.
  double ListPage(std::string_view prefix, size_t limit) const {
    std::vector<double> times;
    for (int i = 0; i < 5; ++i) {
      times.push_back(Seconds([&] {
        KV_CHECK(!ListKeys(index_, {.prefix = prefix, .limit = limit}).empty());
      }));
    }
    return Median(times);
  }

  uint64_t estimated_bytes() const {
    return index_.memory_bytes(keys_) + victims_.memory_bytes();
  }

 private:
  const uint64_t keys_;
  std::atomic<uint64_t> generations_{1};
  Index index_;
  VictimQueue victims_;
};

int Main(int argc, char** argv) {
  const uint64_t keys = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000'000;
  const uint64_t before = ResidentBytes(0);
  double fill_seconds = 0;
  std::unique_ptr<Filled> filled;
  fill_seconds = Seconds([&] { filled = std::make_unique<Filled>(keys); });
  const auto grown = static_cast<double>(ResidentBytes(0) - before);
  const auto count = static_cast<double>(keys);
  fmt::print("{} keys of {} B: {:.0f} MiB resident, filled at {:.0f} keys/s\n", keys,
             kEngineKeyBytes, grown / kMiB, count / fill_seconds);
  fmt::print("  estimate that stats() tells: {:.1f} B a key\n",
             static_cast<double>(filled->estimated_bytes()) / count);
  fmt::print("  lookups, one thread: {:.2f} M/s\n", filled->LookUp(500'000) / 1e6);
  fmt::print(
      "  list a page of 1000: {:.2f} ms from the start, {:.2f} ms within a prefix\n",
      1e3 * filled->ListPage("", 1000), 1e3 * filled->ListPage("llama-3-8b@0500", 1000));
  PrintAtMost("index_bytes_per_key", grown / count - kEngineKeyBytes, 150);
  return 0;
}

}  // namespace
}  // namespace kvasir::bench

int main(int argc, char** argv) { return kvasir::bench::Main(argc, argv); }
