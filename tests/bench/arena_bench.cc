// How much of an arena holds live payload while blocks of 64 KiB to 64 MiB come and go.
//
// Utilisation here: bytes of committed blocks (less what rounding up to pages costs) over
// the arena's capacity, seen after every put and averaged, once three arenas' worth of
// bytes has been put. Every put evicts by itself; nothing is evicted ahead of demand.
//
// usage: arena_bench [ARENA_MIB]   (default 2048)

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "storage/block_store.h"
#include "tests/bench/measure.h"

namespace kvasir::bench {
namespace {

using Random = std::mt19937_64;
using SizeOf = std::function<uint64_t(Random& random, double progress)>;

double Uniform(Random& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

// Every doubling is equally likely.
uint64_t LogUniform(Random& random, uint64_t low, uint64_t high) {
  const double ratio = static_cast<double>(high) / static_cast<double>(low);
  return static_cast<uint64_t>(static_cast<double>(low) *
                               std::pow(ratio, Uniform(random)));
}

struct Workload {
  std::string name;
  SizeOf size_of;
  // Gets of earlier blocks per put, the recent ones more often.
  double gets_per_put = 0;
  // Blocks held by readers at any time, as a fraction of those in the store.
  double held = 0;
};

std::vector<Workload> Workloads() {
  const auto mixed = [](Random& random, double) {
    return LogUniform(random, 64 * kKiB, 64 * kMiB);
  };
  const auto powers = [](Random& random, double) {
    return (64 * kKiB) << (random() % 11);
  };
  const auto shifting = [](Random& random, double progress) {
    const bool small = static_cast<int>(progress * 8) % 2 == 0;
    return small ? LogUniform(random, 64 * kKiB, kMiB)
                 : LogUniform(random, 16 * kMiB, 64 * kMiB);
  };
  const auto two_sizes = [](Random& random, double) {
    return random() % 100 == 0 ? 64 * kMiB : 192 * kKiB;
  };
  return {{"mixed", mixed},
          {"mixed, with gets", mixed, 2},
          {"mixed, 2 % held", mixed, 2, 0.02},
          {"powers of two", powers, 1},
          {"small, then large, then small", shifting, 1},
          {"192 KiB and 64 MiB", two_sizes, 1}};
}

class Churn {
 public:
  Churn(Region* region, const Workload& workload, EvictionPolicyKind policy)
      : arena_(region),
        store_(&arena_, {.eviction_policy = policy}),
        workload_(workload),
        capacity_(static_cast<double>(arena_.usage().capacity_bytes)) {}

  void Run() {
    constexpr double kWarmup = 3, kMeasured = 9;
    for (double put = 0; put < (kWarmup + kMeasured) * capacity_;) {
      const double progress = std::max(0.0, put / capacity_ - kWarmup) / kMeasured;
      put += static_cast<double>(PutOne(progress));
      GetSome();
      if (put < kWarmup * capacity_) continue;
      used_.push_back(payload_bytes() / capacity_);
    }
    held_.clear();
  }

  double Mean() const {
    double sum = 0;
    for (const double used : used_) sum += used;
    return sum / static_cast<double>(used_.size());
  }
  void Print() const {
    const BlockStore::Stats stats = store_.stats();
    fmt::print(
        "  {:<30} mean {:.4f}  p1 {:.4f}  min {:.4f}  evicted/put {:.2f}  refused {}  "
        "reserve p50 {:.1f} us  p99 {:.0f} us  blocks {}\n",
        workload_.name, Mean(), Quantile(used_, 0.01), Quantile(used_, 0),
        static_cast<double>(stats.evicted_blocks_total) / static_cast<double>(puts_),
        refused_, 1e6 * Quantile(reserve_s_, 0.5), 1e6 * Quantile(reserve_s_, 0.99),
        stats.blocks);
  }

 private:
  // The bytes put.
  uint64_t PutOne(double progress) {
    const uint64_t size = workload_.size_of(random_, progress);
    payload_put_ += static_cast<double>(size);
    rounded_put_ += static_cast<double>(Arena::AllocatedBytes(size));
    absl::StatusOr<Reservation> made = absl::UnknownError("");
    reserve_s_.push_back(Seconds([&] {
      made = store_.Reserve("block/" + std::to_string(puts_), {.size_bytes = size});
    }));
    ++puts_;
    if (made.ok()) {
      KV_CHECK(store_.Commit(*std::move(made), 0).ok());
    } else {
      ++refused_;
    }
    return size;
  }

  void GetSome() {
    for (double left = workload_.gets_per_put; left > 0; left -= 1) {
      const double back = std::pow(static_cast<double>(puts_), Uniform(random_));
      absl::StatusOr<BlockRef> ref =
          store_.Fetch("block/" + std::to_string(puts_ - static_cast<uint64_t>(back)));
      if (!ref.ok() || workload_.held == 0 || Uniform(random_) > 0.2) continue;
      held_.push_back(*std::move(ref));
      const double held_max = workload_.held * static_cast<double>(store_.stats().blocks);
      while (static_cast<double>(held_.size()) > held_max) held_.pop_front();
    }
  }

  // Less the share that rounding up to pages takes.
  double payload_bytes() const {
    return static_cast<double>(arena_.usage().allocated_bytes) * payload_put_ /
           rounded_put_;
  }

  Arena arena_;
  BlockStore store_;
  const Workload& workload_;
  const double capacity_;
  Random random_{42};
  uint64_t puts_ = 0;
  uint64_t refused_ = 0;
  double payload_put_ = 0, rounded_put_ = 0;
  std::deque<BlockRef> held_;
  std::vector<double> used_;
  std::vector<double> reserve_s_;
};

// Hits of a Zipf trace over mixed sizes, a fifth of it a scan, for three ways to choose
// victims in the eviction order.
enum class Room { kNoHoles, kInOrder, kAsBuilt };
constexpr uint64_t kTraceArenaBytes = kGiB;

class Trace {
 public:
  // kNoHoles needs a region of twice kTraceArenaBytes, of which half is used.
  Trace(Region* region, Room room) : arena_(region), store_(&arena_, {}), room_(room) {
    constexpr size_t kObjects = 20'000;
    double sum = 0;
    for (size_t i = 0; i < kObjects; ++i) {
      sizes_.push_back(LogUniform(random_, 64 * kKiB, 16 * kMiB));
      cumulated_.push_back(sum += std::pow(static_cast<double>(i + 1), -0.9));
    }
  }

  struct Result {
    double hits = 0;  // per get
    double used = 0;  // mean utilisation after a put
  };
  Result Run() {
    constexpr int kGets = 60'000;
    size_t gets = 0, hits = 0, scanned = sizes_.size();
    for (int i = 0; i < kGets; ++i) {
      const bool scan = i % 5 == 0;
      const size_t object = scan ? scanned++ : Draw();
      const std::string key = std::to_string(object);
      const bool hit = store_.Fetch(key).ok();
      if (!hit) Put(key, sizes_[object % sizes_.size()]);
      if (i == kGets / 3) used_ = 0, puts_ = 0;
      if (scan || i < kGets / 3) continue;
      ++gets;
      hits += hit ? 1 : 0;
    }
    return {.hits = static_cast<double>(hits) / static_cast<double>(gets),
            .used = used_ / static_cast<double>(puts_)};
  }

 private:
  size_t Draw() {
    const double at = Uniform(random_) * cumulated_.back();
    return static_cast<size_t>(
        std::lower_bound(cumulated_.begin(), cumulated_.end(), at) - cumulated_.begin());
  }

  void Put(const std::string& key, uint64_t size) {
    if (room_ == Room::kNoHoles) {
      const uint64_t used = arena_.usage().allocated_bytes + size;
      if (used > kTraceArenaBytes) store_.Evict(used - kTraceArenaBytes);
    }
    while (room_ == Room::kInOrder && arena_.usage().largest_free_bytes < size) {
      KV_CHECK(store_.Evict(1) > 0);
    }
    absl::StatusOr<Reservation> made = store_.Reserve(key, {.size_bytes = size});
    KV_CHECK(made.ok());
    KV_CHECK(store_.Commit(*std::move(made), 0).ok());
    ++puts_;
    used_ += static_cast<double>(arena_.usage().allocated_bytes) / kTraceArenaBytes;
  }

  Arena arena_;
  BlockStore store_;
  const Room room_;
  Random random_{7};
  std::vector<uint64_t> sizes_;
  std::vector<double> cumulated_;
  uint64_t puts_ = 0;
  double used_ = 0;
};

// What making room out of order costs in hits.
void CompareHits() {
  const auto double_size = *Region::Map({.size_bytes = 2 * kTraceArenaBytes});
  const auto region = *Region::Map({.size_bytes = kTraceArenaBytes});
  const Trace::Result no_holes = Trace(double_size.get(), Room::kNoHoles).Run();
  const Trace::Result in_order = Trace(region.get(), Room::kInOrder).Run();
  const Trace::Result as_built = Trace(region.get(), Room::kAsBuilt).Run();
  const auto print = [](std::string_view name, const Trace::Result& result) {
    fmt::print("  {:<30} hits {:.4f}  utilisation {:.4f}\n", name, result.hits,
               result.used);
  };
  fmt::print("Zipf trace, 64 KiB to 16 MiB, {} MiB\n", kTraceArenaBytes / kMiB);
  print("an arena without holes", no_holes);
  print("victims in order until it fits", in_order);
  print("as built", as_built);
  PrintAtLeast("arena_hits_kept", as_built.hits / no_holes.hits, 0.95);
}

int Main(int argc, char** argv) {
  const uint64_t arena_bytes =
      (argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 2048) * kMiB;
  absl::StatusOr<std::unique_ptr<Region>> region =
      Region::Map({.size_bytes = arena_bytes});
  if (!region.ok()) {
    fmt::print(stderr, "{}\n", region.status().ToString());
    return 1;
  }
  double worst = 1;
  for (const EvictionPolicyKind policy :
       {EvictionPolicyKind::kS3Fifo, EvictionPolicyKind::kLru}) {
    fmt::print("{}, arena of {} MiB\n", EvictionPolicyName(policy), arena_bytes / kMiB);
    for (const Workload& workload : Workloads()) {
      Churn churn(region->get(), workload, policy);
      churn.Run();
      churn.Print();
      worst = std::min(worst, churn.Mean());
    }
  }
  PrintAtLeast("arena_utilisation", worst, 0.95);
  CompareHits();
  return 0;
}

}  // namespace
}  // namespace kvasir::bench

int main(int argc, char** argv) { return kvasir::bench::Main(argc, argv); }
