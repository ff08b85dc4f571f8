#include <fmt/core.h>

#include <utility>

#include "base/check.h"
#include "storage/arena.h"
#include "tests/simulation/oracle.h"

// What the disk below memory does, and what that allows.
namespace kvasir::sim {

// A key that is neither in memory nor on disk.
void Oracle::OnAbsent(const std::string& key) {
  const auto history = histories_.find(key);
  if (history != histories_.end() && history->second.durable().has_value()) {
    Violation(fmt::format("durable put of {}, version {}, is gone", key,
                          history->second.durable()->version));
  }
  EndCurrent(key);
}

std::optional<size_t> Oracle::FindBlock(const std::string& key, uint64_t offset_bytes) {
  const std::optional<size_t> owner = owners_.at(offset_bytes / Arena::kUnitBytes);
  if (!owner.has_value()) return std::nullopt;
  Grant& grant = grants_[*owner];
  if (grant.key != key || grant.extent.offset_bytes != offset_bytes) return std::nullopt;
  if (grant.copy && grant.state == State::kOpen) {
    grant.state = State::kPublished;
    ++seen_.copies;
  }
  return grant.state == State::kPublished ? owner : std::nullopt;
}

// Of a copy the version counts: the disk does not know which commit it came from.
bool Oracle::IsCurrent(size_t grant) const {
  const auto current = current_.find(grants_[grant].key);
  if (current == current_.end()) return false;
  return current->second == grant ||
         (grants_[grant].copy &&
          grants_[grant].version == grants_[current->second].version);
}

// The block that a durable put replaced stays on disk until the newer one is there, and is
// the key's again if that fails: of several such puts in a row, all of them.
bool Oracle::IsFound(size_t grant) {
  if (IsCurrent(grant)) return true;
  if (!grants_[grant].copy) return false;
  const std::string key = grants_[grant].key;
  const auto current = current_.find(key);
  if (current == current_.end()) return false;
  size_t at = current->second;
  while (grants_[at].replaced.has_value()) {
    const bool settled = grants_[at].durability == Durability::kNone ||
                         VisibilityOf(grants_[at].version).acknowledged;
    if (settled) return false;
    at = *grants_[at].replaced;
    if (grants_[at].version != grants_[grant].version) continue;
    EndCurrent(key);
    current_[key] = at;
    VisibilityOf(grants_[at].version).ended = Instant::max();
    ++seen_.taken_back;
    return true;
  }
  return false;
}

uint64_t Oracle::OnStores(std::string_view key, std::span<const std::byte> payload) {
  if (!histories_.contains(std::string(key))) return 0;
  const std::optional<uint64_t> version = world_.values->Recognize(payload);
  if (version.has_value() && world_.values->KeyOf(*version) == key) return *version;
  Violation(fmt::format("the disk was given bytes for {} that are none of its values", key));
  return 0;
}

size_t Oracle::OnCopyBegins(std::string_view key, uint64_t version,
                            std::span<const std::byte> memory) {
  if (!histories_.contains(std::string(key))) return SIZE_MAX;  // a probe's
  const size_t index = grants_.size();
  grants_.push_back(
      {.key = std::string(key),
       .session = {},
       .extent = {RegionId{}, static_cast<uint64_t>(memory.data() - world_.arena.data()),
                  memory.size()},
       .copy = true,
       .version = version});
  GiveMemoryTo(index);
  return index;
}

void Oracle::OnCopyLands(size_t copy) {
  if (copy == SIZE_MAX) return;
  const Extent& extent = grants_[copy].extent;
  const uint64_t end = extent.offset_bytes + extent.size_bytes;
  for (uint64_t at = extent.offset_bytes; at < end; at += Arena::kUnitBytes) {
    if (owners_.at(at / Arena::kUnitBytes) == copy) continue;
    Violation(fmt::format("a copy of {} landed at {} in reused memory", grants_[copy].key,
                          at));
    return;
  }
}

void Oracle::OnDropped(const std::string& key, uint64_t version) {
  const auto history = histories_.find(key);
  if (history != histories_.end()) history->second.OnDropped(version);
}

void Oracle::OnRecovered(const std::map<std::string, uint64_t>& found) {
  for (auto& [key, history] : histories_) {
    const auto it = found.find(key);
    if (it != found.end()) {
      RecoverKey(key, &history, it->second);
      continue;
    }
    if (history.durable().has_value()) {
      Violation(fmt::format("durable put of {}, version {}, was lost at a restart", key,
                            history.durable()->version));
    }
    history.Restart(std::nullopt);
  }
}

void Oracle::RecoverKey(const std::string& key, History* history, uint64_t found) {
  ++seen_.recovered;
  const std::optional<History::Block> block = history->Find(found);
  if (!block.has_value()) {
    Violation(fmt::format("{} came back at a restart as version {}, which was replaced or "
                          "removed for good",
                          key, found));
    history->Restart(std::nullopt);
    return;
  }
  if (history->durable().has_value()) ++seen_.durable_recovered;
  if (history->newest() != found) ++seen_.rolled_back;
  history->Restart(*block);
  current_[key] = block->grant;
  grants_[block->grant].replaced.reset();
  VisibilityOf(found).ended = Instant::max();
}

}  // namespace kvasir::sim
