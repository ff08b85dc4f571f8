// What the disk tier makes of the disk: writing back, batched loads, recovery, single
// durable blocks, and other ways to use RocksDB.
//
// The baselines run on the same file system in the same run: fio with the same block size
// and past the page cache, as the tier reads and writes; and a file a key, buffered, with
// the page cache dropped before each read.
//
// usage: tier_bench [SECTION...]   (default: write load recovery single variants)
// Needs 6 GiB in the directory that TMPDIR names (default /var/tmp).

#include <fcntl.h>
#include <fmt/core.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/checksum.h"
#include "base/executor.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/malloc_tuning.h"
#include "base/parallel.h"
#include "storage/rocks_tier.h"
#include "tests/bench/measure.h"
#include "tests/bench/tier_variants.h"

namespace kvasir::bench {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kTotalBytes = 1 * kGiB;
constexpr uint64_t kBatchBytes = 64 * kMiB;
constexpr size_t kReaders = 16;
constexpr size_t kLoadBatch = 64;
constexpr int kRounds = 5;

double GigabytesPerSecond(double bytes_per_second) { return bytes_per_second / 1e9; }

class Scratch {
 public:
  Scratch() {
    const char* const base = std::getenv("TMPDIR");
    path_ = std::string(base == nullptr ? "/var/tmp" : base) + "/tier-bench.XXXXXX";
    KV_CHECK(::mkdtemp(path_.data()) != nullptr);
  }
  ~Scratch() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// One fio job; bytes a second.
double Fio(const Scratch& scratch, const std::string& job) {
  const bool writes = job.find("--rw=write") != std::string::npos;
  const std::string command = fmt::format(
      "fio --name=baseline --filename={} --size={} --direct=1 --output-format=terse "
      "--terse-version=3 {} 2>/dev/null",
      scratch / "fio", kTotalBytes, job);
  FILE* const pipe = ::popen(command.c_str(), "r");
  KV_CHECK(pipe != nullptr);
  std::string text;
  std::array<char, 4096> part;
  while (const size_t got = std::fread(part.data(), 1, part.size(), pipe)) {
    text.append(part.data(), got);
  }
  KV_CHECK(::pclose(pipe) == 0);
  // Fields of terse version 3, from one: 7 is read and 48 written, KiB a second.
  std::istringstream fields(text);
  std::string field;
  for (int i = 0; i < (writes ? 48 : 7); ++i) std::getline(fields, field, ';');
  return std::strtod(field.c_str(), nullptr) * kKiB;
}

// Blocks with one payload each of its own key's checksum.
class Blocks {
 public:
  Blocks(size_t count, size_t block_bytes) : payload_(block_bytes), infos_(count) {
    std::mt19937_64 random(9);
    for (std::byte& byte : payload_) byte = static_cast<std::byte>(random());
    for (size_t i = 0; i < count; ++i) {
      keys_.push_back(fmt::format("llama-3-8b@1@0@{:064x}", i));
      infos_[i] = {.size_bytes = block_bytes,
                   .checksum = BlockChecksum(ChecksumSeed(keys_[i]), payload_)};
    }
  }
  size_t size() const { return keys_.size(); }
  const std::string& key(size_t i) const { return keys_[i]; }
  std::vector<Tier::Record> Batch(size_t first, size_t count) const {
    std::vector<Tier::Record> batch;
    for (size_t i = first; i < std::min(first + count, size()); ++i) {
      batch.push_back({.key = keys_[i],
                       .generation = 1,
                       .info = &infos_[i],
                       .payload = payload_});
    }
    return batch;
  }

 private:
  std::vector<std::byte> payload_;
  std::vector<std::string> keys_;
  std::vector<BlockInfo> infos_;
};

std::unique_ptr<RocksTier> OpenTier(const std::string& directory, Executor* threads,
                                    bool direct = true) {
  auto tier = RocksTier::Open({.directory = directory,
                               .capacity_bytes = 64 * kGiB,
                               .readers = threads,
                               .writers = threads,
                               .readers_max = kReaders,
                               .direct_reads = direct},
                              {});
  KV_CHECK(tier.ok());
  return *std::move(tier);
}

double StoreAll(Tier* tier, const Blocks& blocks, uint64_t block_bytes) {
  const size_t batch = kBatchBytes / block_bytes;
  return Seconds([&] {
    for (size_t first = 0; first < blocks.size(); first += batch) {
      KV_CHECK(tier->Store(blocks.Batch(first, batch), Durability::kNone).ok());
    }
  });
}

void BenchWrite(const Scratch& scratch) {
  ThreadPool writers({.name = "bench-writers", .threads = kMaxTierWriters});
  for (const uint64_t block_bytes : {256 * kKiB, 1 * kMiB}) {
    const Blocks blocks(kTotalBytes / block_bytes, block_bytes);
    const std::array<Side, 2> sides = {
        Side{"tier",
             [&] {
               fs::remove_all(scratch / "tier");
               const auto tier = OpenTier(scratch / "tier", &writers);
               return kTotalBytes / StoreAll(tier.get(), blocks, block_bytes);
             }},
        Side{"fio", [&] {
               fs::remove_all(scratch / "fio");
               return Fio(scratch, fmt::format("--rw=write --ioengine=psync --bs={} "
                                               "--end_fsync=1",
                                               block_bytes));
             }}};
    const std::vector<double> rates = InterleavedMedians(sides, kRounds);
    fmt::print("store of {} KiB blocks: {:.2f} GB/s; fio sequential write {:.2f} GB/s\n",
               block_bytes / kKiB, GigabytesPerSecond(rates[0]),
               GigabytesPerSecond(rates[1]));
    PrintAtLeast(fmt::format("tier_store_{}k_vs_fio", block_bytes / kKiB),
                 rates[0] / rates[1], 0.7);
  }
}

// Loads all blocks once, in random order, a batch at a time; bytes a second.
double LoadAll(Tier* tier, const Blocks& blocks, uint64_t block_bytes) {
  std::vector<size_t> order(blocks.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::shuffle(order, std::mt19937_64(1));
  std::vector<std::byte> memory(kLoadBatch * block_bytes);
  const double seconds = Seconds([&] {
    for (size_t first = 0; first + kLoadBatch <= order.size(); first += kLoadBatch) {
      std::vector<Tier::Read> batch;
      for (size_t i = 0; i < kLoadBatch; ++i) {
        batch.push_back(
            {.key = blocks.key(order[first + i]),
             .generation = 1,
             .payload = std::span(memory).subspan(i * block_bytes, block_bytes)});
      }
      tier->Load(batch);
      for (const Tier::Read& read : batch) KV_CHECK(read.status.ok());
    }
  });
  return static_cast<double>(blocks.size() * block_bytes) / seconds;
}

void WriteFilePerKey(const Scratch& scratch, size_t count, uint64_t block_bytes) {
  fs::create_directories(scratch / "files");
  const std::vector<char> payload(block_bytes, 'x');
  for (size_t i = 0; i < count; ++i) {
    const std::string name = scratch / fmt::format("files/{:064x}", i);
    const UniqueFd file(::open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    KV_CHECK(::write(file.get(), payload.data(), payload.size()) ==
             static_cast<ssize_t>(payload.size()));
    KV_CHECK(::fdatasync(file.get()) == 0);
    KV_CHECK(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED) == 0);
  }
}

// A file a key: open, read, close, one after another; out of the page cache afterwards.
double ReadFilePerKey(const Scratch& scratch, size_t count, uint64_t block_bytes) {
  std::vector<size_t> order(count);
  for (size_t i = 0; i < count; ++i) order[i] = i;
  std::ranges::shuffle(order, std::mt19937_64(1));
  std::vector<char> memory(block_bytes);
  double seconds = 0;
  for (size_t i : order) {
    const std::string name = scratch / fmt::format("files/{:064x}", i);
    UniqueFd file;
    seconds += Seconds([&] {
      file.reset(::open(name.c_str(), O_RDONLY | O_CLOEXEC));
      KV_CHECK(::read(file.get(), memory.data(), block_bytes) ==
               static_cast<ssize_t>(block_bytes));
    });
    KV_CHECK(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED) == 0);
  }
  return static_cast<double>(count * block_bytes) / seconds;
}

void BenchLoad(const Scratch& scratch) {
  constexpr uint64_t kBlockBytes = 1 * kMiB;
  const Blocks blocks(kTotalBytes / kBlockBytes, kBlockBytes);
  ThreadPool readers({.name = "bench-readers", .threads = kReaders});
  const auto tier = OpenTier(scratch / "load", &readers);
  StoreAll(tier.get(), blocks, kBlockBytes);
  WriteFilePerKey(scratch, blocks.size(), kBlockBytes);
  Fio(scratch, "--rw=write --ioengine=psync --bs=1m --end_fsync=1");
  std::vector<Side> sides = {
      Side{"tier", [&] { return LoadAll(tier.get(), blocks, kBlockBytes); }},
      Side{"files", [&] { return ReadFilePerKey(scratch, blocks.size(), kBlockBytes); }}};
  const std::array<int, 4> depths = {1, 4, 16, 64};
  for (int depth : depths) {
    sides.push_back({fmt::format("fio {}", depth), [&, depth] {
                       return Fio(scratch, fmt::format("--rw=randread --ioengine=libaio "
                                                       "--bs=1m --iodepth={}",
                                                       depth));
                     }});
  }
  const std::vector<double> rates = InterleavedMedians(sides, kRounds);
  double best = 0;
  for (size_t i = 0; i < depths.size(); ++i) {
    fmt::print("fio random read of 1 MiB at depth {}: {:.2f} GB/s\n", depths[i],
               GigabytesPerSecond(rates[2 + i]));
    best = std::max(best, rates[2 + i]);
  }
  fmt::print("load of 64 x 1 MiB: {:.2f} GB/s; a file a key {:.2f} GB/s\n",
             GigabytesPerSecond(rates[0]), GigabytesPerSecond(rates[1]));
  PrintAtLeast("tier_load_64x1m_vs_fio", rates[0] / best, 0.7);
  PrintAtLeast("tier_load_64x1m_vs_file_per_key", rates[0] / rates[1], 1.5);
}

// The most that was resident since ForgetPeak.
uint64_t PeakResidentBytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word && word != "VmHWM:") {
  }
  uint64_t peak_kib = 0;
  status >> peak_kib;
  return peak_kib * kKiB;
}

void ForgetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

void BenchRecovery(const Scratch& scratch) {
  constexpr size_t kKeys = 1'000'000;
  constexpr size_t kBatch = 20'000;
  {
    const auto tier = OpenTier(scratch / "recovery", nullptr);
    const Blocks blocks(kKeys, 64);
    for (size_t first = 0; first < kKeys; first += kBatch) {
      KV_CHECK(tier->Store(blocks.Batch(first, kBatch), Durability::kNone).ok());
    }
  }
  ThreadPool readers({.name = "bench-readers", .threads = 2});
  // What was freed above must not hide what recovery takes.
  malloc_trim(0);
  ForgetPeak();
  const uint64_t before = ResidentBytes(0);
  std::unique_ptr<RocksTier> tier;
  const double seconds =
      Seconds([&] { tier = OpenTier(scratch / "recovery", &readers); });
  KV_CHECK(tier->stats().blocks == kKeys);
  const auto grown = static_cast<double>(ResidentBytes(0) - before);
  const auto peak = static_cast<double>(PeakResidentBytes() - before);
  const auto index = static_cast<double>(tier->stats().index_bytes);
  fmt::print("recovery of {} keys: {:.2f} s; memory grew by {:.1f} MiB, at most {:.1f} "
             "MiB meanwhile, of which the catalogue tells {:.1f} MiB\n",
             kKeys, seconds, grown / kMiB, peak / kMiB, index / kMiB);
  PrintAtLeast("tier_recovery_keys_per_second", kKeys / seconds, 500'000);
  PrintAtMost("tier_recovery_memory_vs_catalogue", peak / index, 2);
}

// One block at a time, acknowledged when it would survive.
void BenchSingle(const Scratch& scratch) {
  constexpr size_t kBlockBytes = 64 * kKiB;
  constexpr size_t kCount = 200;
  const Blocks blocks(kCount, kBlockBytes);
  for (const size_t callers : {1, 8}) {
    fs::remove_all(scratch / "single");
    const auto tier = OpenTier(scratch / "single", nullptr);
    ThreadPool pool({.name = "bench-callers", .threads = callers});
    const double seconds = Seconds([&] {
      ParallelFor({.executor = &pool, .helpers_max = callers - 1}, kCount, [&](size_t i) {
        KV_CHECK(tier->Store(blocks.Batch(i, 1), Durability::kPower).ok());
      });
    });
    fmt::print("single durable 64 KiB blocks, {} callers: {:.2f} ms each, {:.0f}/s\n",
               callers, 1e3 * seconds * callers / kCount, kCount / seconds);
  }
  for (const TierVariant variant :
       {TierVariant::kMemtableLogged, TierVariant::kMemtableLogSynced}) {
    const double rate = VariantWriteRate(
        variant,
        {.directory = scratch / "variant", .value_bytes = kBlockBytes, .values = kCount});
    fmt::print("single 64 KiB blocks, {}: {:.2f} ms each\n", NameOf(variant),
               1e3 * kBlockBytes / rate);
  }
}

void BenchVariants(const Scratch& scratch) {
  const VariantLoad load = {
      .directory = scratch / "variant", .value_bytes = 1 * kMiB, .values = 512};
  for (const TierVariant variant :
       {TierVariant::kMemtableLogged, TierVariant::kBlobFilesUnlogged,
        TierVariant::kMemtableUnlogged}) {
    fmt::print("write of 1 MiB values, {}: {:.2f} GB/s\n", NameOf(variant),
               GigabytesPerSecond(VariantWriteRate(variant, load)));
  }
  for (const bool direct : {true, false}) {
    for (const bool multi_get : {true, false}) {
      const double rate = VariantReadRate({.load = load,
                                           .threads = kReaders,
                                           .multi_get = multi_get,
                                           .direct = direct});
      fmt::print("read of 64 x 1 MiB, {}, {}: {:.2f} GB/s\n",
                 multi_get ? "MultiGet" : "Get by 16 threads",
                 direct ? "direct" : "buffered, cached after the first time",
                 GigabytesPerSecond(rate));
    }
  }
}

int Main(int argc, char** argv) {
  KeepFreedMemory();
  std::set<std::string> sections(argv + 1, argv + argc);
  const auto wanted = [&](const char* name) {
    return sections.empty() || sections.contains(name);
  };
  const Scratch scratch;
  if (wanted("write")) BenchWrite(scratch);
  if (wanted("load")) BenchLoad(scratch);
  if (wanted("recovery")) BenchRecovery(scratch);
  if (wanted("single")) BenchSingle(scratch);
  if (wanted("variants")) BenchVariants(scratch);
  return 0;
}

}  // namespace
}  // namespace kvasir::bench

int main(int argc, char** argv) { return kvasir::bench::Main(argc, argv); }
