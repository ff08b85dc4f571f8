#include "tests/support/fake_tier.h"

#include <algorithm>
#include <random>

#include "base/checksum.h"
#include "fmt/core.h"

namespace kvasir {

using absl::MutexLock;

absl::Status FakeTier::Store(std::span<const Record> batch, Durability durability) {
  uint64_t bytes = 0;
  for (const Record& record : batch) bytes += record.payload.size();
  if (bytes > capacity_bytes_) {
    return absl::ResourceExhaustedError(
        fmt::format("store: {} bytes exceed the budget {}", bytes, capacity_bytes_));
  }
  MutexLock lock(&mu_);
  for (const Record& record : batch) StoreOneLocked(record, durability);
  while (stats_.block_bytes > capacity_bytes_) DropColdestLocked();
  return absl::OkStatus();
}

void FakeTier::StoreOneLocked(const Record& record, Durability durability) {
  generation_max_ = std::max(generation_max_, record.generation);
  const auto place = places_.try_emplace(std::string(record.key)).first;
  if (record.generation <= place->second.deleted_generation) return;
  auto& versions = place->second.versions;
  if (!versions.empty() && record.generation <= versions.rbegin()->first) {
    // The same bytes again: a stronger promise counts from now on.
    if (record.generation < versions.rbegin()->first) return;
    Version& known = versions.rbegin()->second;
    known.durability = std::max(known.durability, durability);
    return;
  }
  HideLocked(place);
  // What will never be lost needs no older one behind it.
  if (durability == Durability::kPower) versions.clear();
  versions[record.generation] = {.info = *record.info,
                                 .payload = {record.payload.begin(), record.payload.end()},
                                 .durability = durability,
                                 .use = next_use_++};
  stats_.written_bytes += record.payload.size();
  ShowLocked(place);
}

void FakeTier::ShowLocked(Places::iterator place) {
  if (place->second.versions.empty()) return;
  const Version& visible = place->second.versions.rbegin()->second;
  by_use_[visible.use] = place;
  ++stats_.blocks;
  stats_.block_bytes += visible.payload.size();
}

void FakeTier::HideLocked(Places::iterator place) {
  if (place->second.versions.empty()) return;
  const Version& visible = place->second.versions.rbegin()->second;
  by_use_.erase(visible.use);
  --stats_.blocks;
  stats_.block_bytes -= visible.payload.size();
}

void FakeTier::DropColdestLocked() {
  const Places::iterator place = by_use_.begin()->second;
  ++stats_.dropped_blocks;
  stats_.dropped_bytes += place->second.versions.rbegin()->second.payload.size();
  HideLocked(place);
  place->second.versions.clear();
}

void FakeTier::Load(std::span<Read> batch) {
  MutexLock lock(&mu_);
  for (Read& read : batch) read.status = LoadOneLocked(read);
}

absl::Status FakeTier::LoadOneLocked(const Read& read) {
  const auto place = places_.find(read.key);
  if (place == places_.end() || place->second.versions.empty() ||
      place->second.versions.rbegin()->first != read.generation) {
    return absl::NotFoundError(
        fmt::format("load: generation {} is not here", read.generation));
  }
  Version& version = place->second.versions.rbegin()->second;
  if (version.payload.size() != read.payload.size()) {
    return absl::InvalidArgumentError(fmt::format("load: {} bytes asked, {} stored",
                                                  read.payload.size(),
                                                  version.payload.size()));
  }
  std::ranges::copy(version.payload, read.payload.begin());
  if (BlockChecksum(ChecksumSeed(read.key), read.payload) != version.info.checksum) {
    ++stats_.corrupt_blocks;
    HideLocked(place);
    place->second.versions.clear();
    return absl::DataLossError(
        fmt::format("load: {} bytes do not match their checksum", read.payload.size()));
  }
  by_use_.erase(version.use);
  version.use = next_use_++;
  by_use_[version.use] = place;
  return absl::OkStatus();
}

absl::Status FakeTier::Delete(std::span<const Tombstone> batch) {
  MutexLock lock(&mu_);
  for (const Tombstone& tombstone : batch) {
    generation_max_ = std::max(generation_max_, tombstone.generation);
    const auto place = places_.try_emplace(std::string(tombstone.key)).first;
    Place& there = place->second;
    there.deleted_generation = std::max(there.deleted_generation, tombstone.generation);
    HideLocked(place);
    there.versions.erase(there.versions.begin(),
                         there.versions.upper_bound(there.deleted_generation));
    ShowLocked(place);
  }
  return absl::OkStatus();
}

std::optional<TierBlock> FakeTier::Find(std::string_view key) const {
  MutexLock lock(&mu_);
  const auto place = places_.find(key);
  if (place == places_.end() || place->second.versions.empty()) return std::nullopt;
  const auto visible = place->second.versions.rbegin();
  return TierBlock{visible->second.info, visible->first, visible->second.durability};
}

std::vector<Tier::Listed> FakeTier::List(std::string_view prefix, std::string_view after,
                                         size_t limit) const {
  std::vector<Listed> listed;
  MutexLock lock(&mu_);
  auto place = after < prefix ? places_.lower_bound(prefix) : places_.upper_bound(after);
  for (; place != places_.end() && listed.size() < limit; ++place) {
    if (!place->first.starts_with(prefix)) break;
    if (place->second.versions.empty()) continue;
    const auto visible = place->second.versions.rbegin();
    listed.push_back({place->first, {visible->second.info, visible->first}});
  }
  return listed;
}

uint64_t FakeTier::generation_max() const {
  MutexLock lock(&mu_);
  return generation_max_;
}

Tier::Stats FakeTier::stats() const {
  MutexLock lock(&mu_);
  Stats stats = stats_;
  stats.used_bytes = stats.block_bytes;
  stats.capacity_bytes = capacity_bytes_;
  return stats;
}

void FakeTier::Crash(const CrashOptions& options) {
  std::mt19937_64 random(options.seed);
  MutexLock lock(&mu_);
  for (auto place = places_.begin(); place != places_.end(); ++place) {
    HideLocked(place);
    std::erase_if(place->second.versions, [&](const auto& version) {
      return version.second.durability < options.survives && random() % 2 == 0;
    });
    // What is there after a crash is on the disk.
    for (auto& [generation, version] : place->second.versions) {
      version.durability = Durability::kPower;
    }
    ShowLocked(place);
  }
  stats_.recovered_blocks = stats_.blocks;
}

bool FakeTier::FlipBit(std::string_view key) {
  MutexLock lock(&mu_);
  const auto place = places_.find(key);
  if (place == places_.end() || place->second.versions.empty()) return false;
  std::vector<std::byte>& payload = place->second.versions.rbegin()->second.payload;
  payload[payload.size() / 2] ^= std::byte{1};
  return true;
}

}  // namespace kvasir
