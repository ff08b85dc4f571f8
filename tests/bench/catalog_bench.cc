// What the disk tier's catalogue costs a key, and how fast it answers.
//
// Places blocks of 64 KiB, a thousand a segment, and looks at how the process grows. A
// key's cost is that growth, less the keys' own bytes, a key.
//
// usage: catalog_bench [KEYS]   (default 10000000; needs about 200 B a key)

#include <fmt/core.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "storage/disk_format.h"
#include "storage/tier_catalog.h"
#include "tests/bench/engine_key.h"
#include "tests/bench/measure.h"

namespace kvasir::bench {
namespace {

constexpr uint64_t kKeysPerSegment = 1000;

// Lookups a second; a half of them are misses.
double LookUp(const TierCatalog& catalog, uint64_t keys_in, size_t lookups) {
  std::mt19937_64 random(1);
  std::vector<std::string> keys;
  for (size_t i = 0; i < lookups; ++i) keys.push_back(EngineKey(random() % (2 * keys_in)));
  size_t hits = 0;
  const double seconds = Seconds([&] {
    for (const std::string& key : keys) hits += catalog.Find(key).has_value();
  });
  KV_CHECK(hits > lookups / 3);
  return static_cast<double>(lookups) / seconds;
}

double ListPage(const TierCatalog& catalog, std::string_view prefix) {
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    times.push_back(
        Seconds([&] { KV_CHECK(!catalog.List(prefix, "", kMaxListPageSize).empty()); }));
  }
  return Median(times);
}

int Main(int argc, char** argv) {
  const uint64_t keys = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000'000;
  const uint64_t before = ResidentBytes(0);
  TierCatalog catalog;
  const double fill_seconds = Seconds([&] {
    for (uint64_t i = 0; i < keys; ++i) {
      const std::string key = EngineKey(i);
      const DiskRecord record{.key = key, .generation = i + 1, .size_bytes = 64 * kKiB};
      KV_CHECK(catalog.Place({.record = record}, 1 + i / kKeysPerSegment).live);
    }
  });
  const auto grown = static_cast<double>(ResidentBytes(0) - before);
  const auto count = static_cast<double>(keys);
  fmt::print("{} keys of {} B: {:.0f} MiB resident, filled at {:.0f} keys/s\n", keys,
             kEngineKeyBytes, grown / kMiB, count / fill_seconds);
  fmt::print("  estimate that stats() tells: {:.1f} B a key, the keys included\n",
             static_cast<double>(catalog.memory_bytes()) / count);
  fmt::print("  lookups, one thread: {:.2f} M/s\n",
             LookUp(catalog, keys, 500'000) / 1e6);
  fmt::print("  list a page: {:.2f} ms from the start, {:.2f} ms within a prefix\n",
             1e3 * ListPage(catalog, ""), 1e3 * ListPage(catalog, "llama-3-8b@0500"));
  PrintAtMost("catalog_bytes_per_key", grown / count - kEngineKeyBytes, 150);
  return 0;
}

}  // namespace
}  // namespace kvasir::bench

int main(int argc, char** argv) { return kvasir::bench::Main(argc, argv); }
