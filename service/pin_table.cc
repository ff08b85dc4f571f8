#include "service/pin_table.h"

#include <algorithm>

#include "base/limits.h"
#include "fmt/core.h"

namespace kvasir {

using absl::MutexLock;

absl::Status PinTable::Pin(SessionId session, std::string_view owner, BlockRef block,
                           Instant expiry) {
  BlockRef replaced;  // Before the lock, so that it is dropped after it.
  MutexLock lock(&mu_);
  const auto found = owners_.find(ByName::Ref{owner, session.high, session.low});
  if (found != owners_.end()) {
    const auto pin = found->second.pins.find(block.key());
    if (pin != found->second.pins.end()) {
      replaced = RepinLocked(pin->second.get(), std::move(block), expiry);
      return absl::OkStatus();
    }
  }
  if (by_expiry_.size() >= kMaxPins) {
    replaced = std::move(block);
    return absl::ResourceExhaustedError(fmt::format("pin: {} pins are held, limit {}",
                                                    by_expiry_.size(), kMaxPins));
  }
  Owner* const holder = OwnerLocked(session, owner);
  const std::string_view key = block.key();
  auto entry = std::make_unique<Entry>(
      Entry{holder, std::move(block), {expiry, ++last_number_}});
  by_expiry_.emplace(entry->expiry, entry.get());
  holder->pins.emplace(key, std::move(entry));
  return absl::OkStatus();
}

PinTable::Owner* PinTable::OwnerLocked(SessionId session, std::string_view owner) {
  const auto [it, inserted] = owners_.try_emplace(OwnerId{std::string(owner), session});
  if (inserted) {
    it->second.id = &it->first;
    by_session_.emplace(session.high, session.low, it->first.name);
  }
  return &it->second;
}

// Returns the reference that is no longer needed.
BlockRef PinTable::RepinLocked(Entry* entry, BlockRef block, Instant expiry) {
  if (expiry > entry->expiry.first) {
    by_expiry_.erase(entry->expiry);
    entry->expiry = {expiry, ++last_number_};
    by_expiry_.emplace(entry->expiry, entry);
  }
  // A block that left memory and came back from disk has its generation still, but not
  // its memory: the pin would hold what nobody reads any more.
  if (block.generation() == entry->block.generation() &&
      block.extent().offset_bytes == entry->block.extent().offset_bytes) {
    return block;
  }
  // The map's key is a view of the old block's.
  auto node = entry->owner->pins.extract(block.key());
  std::swap(entry->block, block);
  std::unique_ptr<Entry> held = std::move(node.mapped());
  entry->owner->pins.emplace(entry->block.key(), std::move(held));
  return block;
}

// Takes one pin out of `owner`, and leaves `owner` even if it is empty then.
BlockRef PinTable::TakeLocked(Owner* owner, std::string_view key) {
  const auto pin = owner->pins.find(key);
  if (pin == owner->pins.end()) return BlockRef();
  by_expiry_.erase(pin->second->expiry);
  BlockRef block = std::move(pin->second->block);
  owner->pins.erase(pin);
  return block;
}

PinTable::Owners::iterator PinTable::TakeAllLocked(Owners::iterator owner,
                                                   std::vector<BlockRef>* taken) {
  for (auto& [key, entry] : owner->second.pins) {
    by_expiry_.erase(entry->expiry);
    taken->push_back(std::move(entry->block));
  }
  owner->second.pins.clear();
  const OwnerId& id = owner->first;
  by_session_.erase({id.session.high, id.session.low, id.name});
  return owners_.erase(owner);
}

void PinTable::DropOwnerIfEmptyLocked(Owner* owner) {
  if (!owner->pins.empty()) return;
  const OwnerId& id = *owner->id;
  by_session_.erase({id.session.high, id.session.low, id.name});
  owners_.erase(owners_.find(ByName::RefOf(id)));
}

size_t PinTable::Unpin(SessionId session, std::string_view owner) {
  std::vector<BlockRef> taken;
  MutexLock lock(&mu_);
  const auto found = owners_.find(ByName::Ref{owner, session.high, session.low});
  if (found == owners_.end()) return 0;
  TakeAllLocked(found, &taken);
  return taken.size();
}

size_t PinTable::UnpinEverywhere(std::string_view owner) {
  std::vector<BlockRef> taken;
  MutexLock lock(&mu_);
  auto it = owners_.lower_bound(ByName::Ref{owner, 0, 0});
  while (it != owners_.end() && it->first.name == owner) it = TakeAllLocked(it, &taken);
  return taken.size();
}

size_t PinTable::UnpinKeys(SessionId session, std::string_view owner,
                           std::span<const std::string_view> keys) {
  std::vector<BlockRef> taken;
  MutexLock lock(&mu_);
  const auto found = owners_.find(ByName::Ref{owner, session.high, session.low});
  if (found == owners_.end()) return 0;
  for (const std::string_view key : keys) {
    if (BlockRef block = TakeLocked(&found->second, key); !block.empty()) {
      taken.push_back(std::move(block));
    }
  }
  DropOwnerIfEmptyLocked(&found->second);
  return taken.size();
}

size_t PinTable::UnpinKeysEverywhere(std::string_view owner,
                                     std::span<const std::string_view> keys) {
  std::vector<SessionId> sessions;
  {
    MutexLock lock(&mu_);
    for (auto it = owners_.lower_bound(ByName::Ref{owner, 0, 0});
         it != owners_.end() && it->first.name == owner; ++it) {
      sessions.push_back(it->first.session);
    }
  }
  size_t unpinned = 0;
  for (const SessionId& session : sessions) unpinned += UnpinKeys(session, owner, keys);
  return unpinned;
}

std::vector<PinView> PinTable::ListOwnerLocked(std::string_view owner,
                                               std::string_view after_key,
                                               size_t limit) const {
  std::vector<PinView> rows;
  for (auto it = owners_.lower_bound(ByName::Ref{owner, 0, 0});
       it != owners_.end() && it->first.name == owner; ++it) {
    const auto& pins = it->second.pins;
    size_t left = limit;
    for (auto pin = pins.upper_bound(after_key); pin != pins.end() && left > 0; ++pin, --left) {
      rows.push_back({std::string(owner), std::string(pin->first),
                      pin->second->block.size_bytes(), pin->second->expiry.first});
    }
  }
  std::sort(rows.begin(), rows.end(), [](const PinView& a, const PinView& b) {
    return std::tie(a.key, b.expiry) < std::tie(b.key, a.expiry);
  });
  const auto same_key = [](const PinView& a, const PinView& b) { return a.key == b.key; };
  rows.erase(std::unique(rows.begin(), rows.end(), same_key), rows.end());
  if (rows.size() > limit) rows.resize(limit);
  return rows;
}

std::vector<PinView> PinTable::List(std::string_view after_owner, std::string_view after_key,
                                    size_t limit) const {
  std::vector<PinView> rows;
  absl::ReaderMutexLock lock(&mu_);
  auto it = owners_.lower_bound(ByName::Ref{after_owner, 0, 0});
  while (it != owners_.end() && rows.size() < limit) {
    const std::string_view owner = it->first.name;
    const bool resumes = owner == after_owner;
    for (PinView& row : ListOwnerLocked(owner, resumes ? after_key : std::string_view(),
                                        limit - rows.size())) {
      rows.push_back(std::move(row));
    }
    while (it != owners_.end() && it->first.name == owner) ++it;
  }
  return rows;
}

std::vector<BlockRef> PinTable::Expire(Instant now) {
  std::vector<BlockRef> taken;
  MutexLock lock(&mu_);
  while (!by_expiry_.empty() && by_expiry_.begin()->first.first <= now) {
    Entry* const entry = by_expiry_.begin()->second;
    Owner* const owner = entry->owner;
    taken.push_back(TakeLocked(owner, entry->block.key()));
    DropOwnerIfEmptyLocked(owner);
  }
  return taken;
}

std::vector<BlockRef> PinTable::EndSession(SessionId session) {
  std::vector<BlockRef> taken;
  MutexLock lock(&mu_);
  const auto first = std::make_tuple(session.high, session.low, std::string_view());
  for (auto it = by_session_.lower_bound(first);
       it != by_session_.end() && std::get<0>(*it) == session.high &&
       std::get<1>(*it) == session.low;
       it = by_session_.lower_bound(first)) {
    TakeAllLocked(owners_.find(ByName::Ref{std::get<2>(*it), session.high, session.low}),
                  &taken);
  }
  return taken;
}

size_t PinTable::size() const {
  absl::ReaderMutexLock lock(&mu_);
  return by_expiry_.size();
}

}  // namespace kvasir
