// Damage on disk: bits flip and files lose their ends. Whatever it is, the tier either
// does not open (DataLoss) or serves only right bytes, and never a block that was removed
// or replaced.

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "gtest/gtest.h"
#include "storage/rocks_tier.h"
#include "tests/storage/tier_batch.h"
#include "tests/storage/tier_files.h"

namespace kvasir {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSeed = 4711;
constexpr size_t kBlocks = 40;
constexpr uint64_t kCapacityBytes = 64 * kMiB;

RocksTierOptions OptionsFor(const std::string& directory) {
  return {.directory = directory, .capacity_bytes = kCapacityBytes};
}

std::string KeyOf(size_t i) { return absl::StrCat("key-", i); }

// A closed tier: blocks of many sizes, every fourth replaced, every fifth removed.
void Fill(const std::string& directory) {
  auto tier = RocksTier::Open(OptionsFor(directory), {});
  KV_CHECK(tier.ok());
  for (size_t first = 0; first < kBlocks; first += 10) {
    TierBatch batch;
    for (size_t i = first; i < first + 10; ++i) batch.Add(KeyOf(i), 1, 1 + i * 997);
    KV_CHECK((*tier)->Store(batch.records(), Durability::kPower).ok());
  }
  TierBatch newer;
  for (size_t i = 0; i < kBlocks; i += 4) newer.Add(KeyOf(i), 100, 3000 + i);
  KV_CHECK((*tier)->Store(newer.records(), Durability::kProcess).ok());
  std::vector<std::string> keys;
  for (size_t i = 0; i < kBlocks; i += 5) keys.push_back(KeyOf(i));
  std::vector<Tier::Tombstone> removed;
  for (const std::string& key : keys) removed.push_back({.key = key, .generation = 200});
  KV_CHECK((*tier)->Delete(removed).ok());
}

// What key i may answer, if it answers.
uint64_t GenerationOf(size_t i) {
  if (i % 5 == 0) return 0;
  return i % 4 == 0 ? 100 : 1;
}

enum class Kind { kTable, kLog, kManifest, kCurrent, kOptions, kOurs };
struct KindOfFile {
  Kind kind;
  std::string_view name;
  int weight;  // of sixty trials
};
constexpr KindOfFile kKinds[] = {{Kind::kTable, "table", 26},   {Kind::kLog, "log", 10},
                                 {Kind::kManifest, "manifest", 10},
                                 {Kind::kCurrent, "current", 4},
                                 {Kind::kOptions, "options", 6}, {Kind::kOurs, "ours", 4}};

bool Is(Kind kind, const fs::path& path) {
  const std::string name = path.filename().string();
  switch (kind) {
    case Kind::kTable:
      return name.ends_with(".sst");
    case Kind::kLog:
      return name.ends_with(".log");
    case Kind::kManifest:
      return name.starts_with("MANIFEST");
    case Kind::kCurrent:
      return name == "CURRENT";
    case Kind::kOptions:
      return name.starts_with("OPTIONS");
    case Kind::kOurs:
      return name == "KVASIR_FORMAT";
  }
  return false;
}

// A file of the kind, which has bytes.
fs::path Pick(const std::string& directory, Kind kind, std::mt19937_64& random) {
  std::vector<fs::path> files;
  for (const auto& file : fs::recursive_directory_iterator(directory)) {
    if (file.is_regular_file() && Is(kind, file.path()) && file.file_size() > 0) {
      files.push_back(file.path());
    }
  }
  KV_CHECK(!files.empty());
  std::ranges::sort(files);
  return files[random() % files.size()];
}

std::string Damage(const fs::path& path, std::mt19937_64& random) {
  const uint64_t bytes = fs::file_size(path);
  // Every fifth loses its end.
  if (random() % 5 == 0) {
    const uint64_t left = random() % bytes;
    fs::resize_file(path, left);
    return fmt::format("{} cut from {} to {} bytes", path.filename().string(), bytes, left);
  }
  const uint64_t at = random() % bytes;
  const int bit = static_cast<int>(random() % 8);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char byte = static_cast<char>(file.get() ^ 1 << bit);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(byte);
  return fmt::format("{} bit {} of byte {} of {}", path.filename().string(), bit, at,
                     bytes);
}

struct Seen {
  int hits = 0;
  int misses = 0;
  int refused = 0;  // to open
};

// Reads every key, of removed ones too. Writing still works afterwards.
void Use(RocksTier* tier, bool log_is_whole, Seen* seen) {
  for (size_t i = 0; i < kBlocks; ++i) {
    const std::optional<TierBlock> found = tier->Find(KeyOf(i));
    if (!found) {
      ++seen->misses;
      continue;
    }
    // Removals of late are in the log alone: a log that lost its end lost them.
    if (log_is_whole) {
      EXPECT_EQ(found->generation, GenerationOf(i)) << KeyOf(i);
    }
    const absl::Status loaded = LoadDescribed(tier, KeyOf(i), *found);
    EXPECT_NE(loaded.code(), absl::StatusCode::kInternal) << loaded;
    seen->hits += loaded.ok();
    seen->misses += !loaded.ok();
  }
  EXPECT_TRUE(tier->Store(TierBatch().Add("fresh", 300, 5000).records(),
                          Durability::kPower)
                  .ok());
  const std::optional<TierBlock> fresh = tier->Find("fresh");
  ASSERT_TRUE(fresh.has_value());
  EXPECT_TRUE(LoadDescribed(tier, "fresh", *fresh).ok());
}

void Trial(const std::string& pristine, const KindOfFile& kind, uint64_t seed,
           Seen* seen) {
  std::mt19937_64 random(seed);
  const TierFiles files;
  fs::copy(pristine, files.tier(), fs::copy_options::recursive);
  const std::string what = Damage(Pick(files.tier(), kind.kind, random), random);
  SCOPED_TRACE(fmt::format("seed {}: {}", seed, what));
  auto tier = RocksTier::Open(OptionsFor(files.tier()), {});
  if (tier.ok()) return Use(tier->get(), kind.kind != Kind::kLog, seen);
  ++seen->refused;
  EXPECT_EQ(tier.status().code(), absl::StatusCode::kDataLoss) << tier.status();
  EXPECT_TRUE(RocksTier::SetAside(files.tier()).ok());
  tier = RocksTier::Open(OptionsFor(files.tier()), {});
  ASSERT_TRUE(tier.ok()) << tier.status();
  EXPECT_EQ((*tier)->stats().blocks, 0u);
}

TEST(RocksTierDamage, SixtyDamagedFilesNeverGiveAWrongByte) {
  const TierFiles files;
  Fill(files.tier());
  uint64_t seed = kSeed;
  for (const KindOfFile& kind : kKinds) {
    Seen seen;
    for (int i = 0; i < kind.weight; ++i) Trial(files.tier(), kind, seed++, &seen);
    fmt::print("{}: {} trials from seed {}: {} refused, {} hits, {} misses\n", kind.name,
               kind.weight, seed - kind.weight, seen.refused, seen.hits, seen.misses);
  }
}

TEST(RocksTierDamage, UndamagedTierServesAllThatIsLive) {
  const TierFiles files;
  Fill(files.tier());
  auto tier = RocksTier::Open(OptionsFor(files.tier()), {});
  ASSERT_TRUE(tier.ok());
  Seen seen;
  Use(tier->get(), true, &seen);
  EXPECT_EQ(seen.hits, 32);
  EXPECT_EQ((*tier)->stats().lost_blocks, 0u);
}

}  // namespace
}  // namespace kvasir
