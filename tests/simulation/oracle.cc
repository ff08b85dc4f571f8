#include "tests/simulation/oracle.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "storage/arena.h"

namespace kvasir::sim {
namespace {

Durability DurabilityOf(v1::Durability durability) {
  switch (durability) {
    case v1::DURABILITY_PROCESS:
      return Durability::kProcess;
    case v1::DURABILITY_POWER:
      return Durability::kPower;
    default:
      return Durability::kNone;
  }
}

constexpr uint64_t kUnit = Arena::kUnitBytes;

size_t FirstUnit(uint64_t offset_bytes) { return offset_bytes / kUnit; }
size_t EndUnit(uint64_t offset_bytes, uint64_t size_bytes) {
  return (offset_bytes + size_bytes + kUnit - 1) / kUnit;
}

}  // namespace

Oracle::Oracle(const World& world) : world_(world), owners_(world.arena.size() / kUnit) {}

void Oracle::Violation(std::string what) {
  world_.trace->Say("VIOLATION: {}", what);
  violations_.push_back(std::move(what));
}

// ---- The control plane

void Oracle::OnRequest(const v1::LaneRequest& request) {
  first_writer_lost_.clear();
  for (const v1::CommitItem& item : request.commit().items()) {
    const Grant* const grant = FindLease(item.lease());
    if (grant == nullptr || grant->replace || grant->published) continue;
    if (facts_->IsResident(grant->key)) first_writer_lost_.insert(item.lease());
  }
}

void Oracle::OnAnswer(SessionId session, LaneId lane, const v1::LaneRequest& request,
                      const v1::LaneResponse& response) {
  for (const uint64_t lease : request.releases()) unreleased_.erase(lease);
  switch (response.response_case()) {
    case v1::LaneResponse::kLookup:
      OnLookup(session, request.lookup(), response.lookup());
      break;
    case v1::LaneResponse::kUnpinOwner:
      DropPins(session, request.unpin_owner().owner());
      break;
    case v1::LaneResponse::kGrantReads:
      OnReadGrants(session, lane, request.grant_reads(), response.grant_reads());
      break;
    case v1::LaneResponse::kGrantWrites:
      OnWriteGrants(session, lane, request.grant_writes(), response.grant_writes());
      break;
    case v1::LaneResponse::kCommit:
      OnCommits(request.commit(), response.commit());
      break;
    case v1::LaneResponse::kAbort:
      OnAborts(session, lane, request.abort());
      break;
    case v1::LaneResponse::kRelease:
      for (const uint64_t lease : request.release().leases()) unreleased_.erase(lease);
      break;
    case v1::LaneResponse::kRemove:
      OnRemovals(request.remove(), response.remove());
      break;
    default:
      break;
  }
}

void Oracle::OnRestart() {
  for (Grant& grant : grants_) grant.state = State::kFreed;
  std::fill(owners_.begin(), owners_.end(), std::nullopt);
  by_lease_.clear();
  reads_by_lease_.clear();
  unreleased_.clear();
  pins_.clear();
  told_of_others_.clear();
  while (!current_.empty()) EndCurrent(std::string(current_.begin()->first));
  if (!world_.disk) histories_.clear();
}

void Oracle::OnLookup(SessionId session, const v1::LookupRequest& request,
                      const v1::LookupResponse& response) {
  const auto ttl = std::chrono::milliseconds(request.pin_ttl_ms());
  const Instant until = world_.scheduler->Now() + ttl - ttl / 500 - kLeaseMargin;
  for (int i = 0; i < request.keys_size(); ++i) {
    const std::string& key = request.keys(i);
    if (response.residency()[i] < v1::RESIDENCY_MEMORY) {
      OnAbsent(key);
      continue;
    }
    if (!current_.contains(key)) {
      Violation(fmt::format("lookup found {}, which is not there", key));
      continue;
    }
    const bool within = static_cast<uint32_t>(i) < response.prefix_count();
    if (request.pin_owner().empty() || (!within && !request.pin_all())) continue;
    const PinName name{session.ToBytes(), request.pin_owner(), key};
    const std::optional<uint64_t> offset = facts_->OffsetOf(key);
    if (!offset.has_value()) {
      // It is only on disk, and pinned once it lands, instead of an older block that the
      // owner may have pinned under this key. Nobody watches that here.
      pins_.erase(name);
      continue;
    }
    const std::optional<size_t> block = FindBlock(key, *offset);
    if (!block.has_value() || !IsFound(*block)) {
      Violation(fmt::format("pin of {}: what is at {} is not its block", key, *offset));
      continue;
    }
    Pin& pin = pins_[name];
    pin = {.grant = *block, .until = std::max(pin.until, until)};
  }
}

void Oracle::DropPins(SessionId session, std::string_view owner) {
  std::erase_if(pins_, [&](const auto& entry) {
    return std::get<0>(entry.first) == session.ToBytes() &&
           std::get<1>(entry.first) == owner;
  });
}

void Oracle::OnReadGrants(SessionId session, LaneId lane,
                          const v1::GrantReadsRequest& request,
                          const v1::GrantReadsResponse& response) {
  // Before the server's own clock says so: it may run a little fast.
  const Instant until = world_.scheduler->Now() +
                        std::chrono::milliseconds(response.ttl_ms()) - kLeaseMargin -
                        std::chrono::milliseconds(response.ttl_ms()) / 500;
  for (int i = 0; i < response.grants_size(); ++i) {
    const std::string& key = request.keys(i);
    const v1::ReadGrant& granted = response.grants(i);
    pins_.erase({session.ToBytes(), request.unpin_owner(), key});
    // What is on disk may be there still, though it did not come now.
    if (granted.outcome() == v1::KEY_OUTCOME_MISS && !world_.disk) EndCurrent(key);
    if (granted.outcome() != v1::KEY_OUTCOME_OK) continue;
    OnReadGrant({.session = session, .lane = lane, .until = until}, key, granted);
  }
}

void Oracle::OnReadGrant(const ReadLease& holder, const std::string& key,
                         const v1::ReadGrant& granted) {
  const std::optional<size_t> block = FindBlock(key, granted.offset_bytes());
  if (!block.has_value() || grants_[*block].extent.size_bytes != granted.size_bytes()) {
    Violation(fmt::format("read grant {} of {}: the memory at {} is not that block's",
                          granted.lease(), key, granted.offset_bytes()));
    return;
  }
  if (!IsFound(*block)) {
    Violation(fmt::format("read grant {} of {}: version {} is not the current one",
                          granted.lease(), key, grants_[*block].version));
  }
  ReadLease& lease = reads_by_lease_[granted.lease()];
  lease = holder;
  lease.grant = *block;
  unreleased_.insert(granted.lease());
}

void Oracle::OnWriteGrants(SessionId session, LaneId lane,
                           const v1::GrantWritesRequest& request,
                           const v1::GrantWritesResponse& response) {
  for (int i = 0; i < response.grants_size(); ++i) {
    const v1::WriteGrant& granted = response.grants(i);
    const std::string& key = request.writes(i).key();
    const Durability durability = DurabilityOf(request.durability());
    if (granted.outcome() == v1::KEY_OUTCOME_EXISTS) OnTold(TellOf(key, durability));
    if (granted.outcome() == v1::KEY_OUTCOME_PENDING &&
        FindLease(granted.lease()) == nullptr) {
      told_of_others_[granted.lease()] = TellOf(key, durability);
    }
    if (granted.outcome() != v1::KEY_OUTCOME_OK || granted.lease() == 0) continue;
    const size_t index = grants_.size();
    grants_.push_back({.key = key,
                       .session = session,
                       .lane = lane,
                       .extent = {RegionId{granted.region()}, granted.offset_bytes(),
                                  request.writes(i).size_bytes()},
                       .replace = request.replace(),
                       .durability = durability});
    by_token_[granted.token()] = index;
    by_lease_[granted.lease()] = index;
    ++seen_.grants;
    GiveMemoryTo(index);
  }
}

void Oracle::GiveMemoryTo(size_t index) {
  const Extent& extent = grants_[index].extent;
  const size_t end = EndUnit(extent.offset_bytes, extent.size_bytes);
  for (size_t unit = FirstUnit(extent.offset_bytes); unit < end; ++unit) {
    std::optional<size_t>& owner = owners_.at(unit);
    if (owner.has_value() && owner != index) {
      Grant& before = grants_[*owner];
      const auto current = current_.find(before.key);
      if (!world_.disk && current != current_.end() && current->second == *owner) {
        EndCurrent(std::string(before.key));
      }
      if (std::exchange(before.state, State::kFreed) == State::kPublished) {
        CheckLeasesOn(*owner);
      }
      ++seen_.reuses;
    }
    owner = index;
  }
}

// The memory of `grant` has just been given to another.
void Oracle::CheckLeasesOn(size_t grant) {
  for (const uint64_t id : unreleased_) {
    const ReadLease& lease = reads_by_lease_.at(id);
    if (lease.grant != grant || world_.scheduler->Now() >= lease.until) continue;
    if (!facts_->CanRead(lease.session, lease.lane)) continue;
    Violation(fmt::format("memory at {} given away under read lease {} of {}",
                          grants_[grant].extent.offset_bytes, id, grants_[grant].key));
  }
  for (const auto& [name, pin] : pins_) {
    if (pin.grant != grant || world_.scheduler->Now() >= pin.until) continue;
    if (!facts_->IsLive(*SessionId::FromBytes(std::get<0>(name)))) continue;
    Violation(fmt::format("memory at {} given away under a pin of {} on {}",
                          grants_[grant].extent.offset_bytes, std::get<1>(name),
                          grants_[grant].key));
  }
}

Oracle::Grant* Oracle::FindLease(uint64_t lease) {
  const auto it = by_lease_.find(lease);
  return it == by_lease_.end() ? nullptr : &grants_[it->second];
}

void Oracle::OnCommits(const v1::CommitRequest& request,
                       const v1::CommitResponse& response) {
  for (int i = 0; i < response.outcomes_size(); ++i) {
    const uint64_t lease = request.items(i).lease();
    switch (response.outcomes(i)) {
      case v1::KEY_OUTCOME_OK:
        OnCommitted(lease, /*acknowledged=*/true);
        break;
      case v1::KEY_OUTCOME_PENDING:
        OnPending(lease);
        break;
      case v1::KEY_OUTCOME_EXISTS:
        OnExists(lease);
        break;
      default:
        break;
    }
  }
}

// Either the block is published, or it is another's that this put is to find durable.
void Oracle::OnPending(uint64_t lease) {
  Grant* const grant = FindLease(lease);
  if (grant != nullptr && grant->state == State::kOpen &&
      facts_->OffsetOf(grant->key) != grant->extent.offset_bytes) {
    grant->state = State::kFreed;
    told_of_others_[lease] = TellOf(grant->key, grant->durability);
  }
  if (told_of_others_.contains(lease)) return;
  OnCommitted(lease, /*acknowledged=*/false);
}

void Oracle::OnExists(uint64_t lease) {
  if (const auto told = told_of_others_.find(lease); told != told_of_others_.end()) {
    return OnTold(told->second);
  }
  Grant* const grant = FindLease(lease);
  if (grant == nullptr) return;
  if (grant->state == State::kOpen) grant->state = State::kFreed;
  OnTold(TellOf(grant->key, grant->durability));
}

Oracle::Told Oracle::TellOf(const std::string& key, Durability durability) {
  if (!world_.disk || durability == Durability::kNone) return {};
  // Where it is only on disk, and a put that replaced it may have been refused since,
  // either of them may be it.
  const std::optional<size_t> offset = facts_->OffsetOf(key);
  const std::optional<size_t> block = offset ? FindBlock(key, *offset) : std::nullopt;
  if (offset.has_value() && (!block.has_value() || !IsFound(*block))) return {};
  const auto current = current_.find(key);
  if (current == current_.end()) return {};
  if (!offset.has_value() && grants_[current->second].replaced.has_value()) return {};
  return {.grant = current->second, .durability = durability};
}

void Oracle::OnTold(const Told& told) {
  if (!told.grant.has_value()) return;
  const Grant& grant = grants_[*told.grant];
  ++seen_.told_durable;
  histories_[grant.key].OnAcknowledged(*told.grant, told.durability);
}

void Oracle::OnCommitted(uint64_t lease, bool acknowledged) {
  Grant* const grant = FindLease(lease);
  const bool again = grant != nullptr && grant->published;
  if (!again && (grant == nullptr || grant->state != State::kOpen)) {
    Violation(fmt::format("commit of lease {}, which is over, was accepted", lease));
    return;
  }
  if (!again) {
    if (first_writer_lost_.contains(lease)) {
      Violation(fmt::format("put of {} won over a block that was there", grant->key));
    }
    Publish(by_lease_.at(lease));
  }
  if (acknowledged && grant->version != 0) Acknowledge(by_lease_.at(lease));
  if (acknowledged && again) ++seen_.settled_late;
}

void Oracle::Acknowledge(size_t index) {
  const Grant& grant = grants_[index];
  VisibilityOf(grant.version).acknowledged = true;
  histories_[grant.key].OnAcknowledged(index, grant.durability);
}

void Oracle::OnRemovals(const v1::RemoveRequest& request,
                        const v1::RemoveResponse& response) {
  for (int i = 0; i < response.outcomes_size(); ++i) {
    const std::string& key = request.keys(i);
    switch (response.outcomes(i)) {
      case v1::KEY_OUTCOME_OK:
      case v1::KEY_OUTCOME_MISS:
        EndCurrent(key);
        histories_[key].OnRemoved();
        break;
      case v1::KEY_OUTCOME_PENDING:
        EndCurrent(key);
        histories_[key].OnRemoving();
        break;
      default:  // It may have got half the way.
        histories_[key].OnRemoving();
        break;
    }
  }
}

void Oracle::Publish(size_t index) {
  Grant* const grant = &grants_[index];
  const std::span<const std::byte> bytes =
      world_.arena.subspan(grant->extent.offset_bytes, grant->extent.size_bytes);
  const std::optional<uint64_t> version = world_.values->Recognize(bytes);
  if (const auto before = current_.find(grant->key); before != current_.end()) {
    grant->replaced = before->second;
  }
  EndCurrent(std::string(grant->key));
  grant->state = State::kPublished;
  grant->published = true;
  grant->version = version.value_or(0);
  ++seen_.published;
  if (!version.has_value() || world_.values->KeyOf(*version) != grant->key) {
    Violation(fmt::format("{} was published with bytes that are none of its values",
                          grant->key));
    return;
  }
  Visibility& visibility = VisibilityOf(*version);
  visibility = {.published = true, .acknowledged = visibility.acknowledged};
  current_[grant->key] = index;
  histories_[grant->key].OnPublished({.grant = index, .version = *version});
}

void Oracle::EndCurrent(const std::string& key) {
  const auto it = current_.find(key);
  if (it == current_.end()) return;
  VisibilityOf(grants_[it->second].version).ended = world_.scheduler->Now();
  current_.erase(it);
}

// The client has said that none of its writes is in flight.
void Oracle::OnAborts(SessionId session, LaneId lane, const v1::AbortRequest& request) {
  for (const uint64_t lease : request.leases()) {
    Grant* const grant = FindLease(lease);
    if (grant == nullptr || grant->session != session || grant->lane != lane) continue;
    if (grant->state == State::kOpen) grant->state = State::kFreed;
  }
}

std::optional<size_t> Oracle::SizeToExpect(const std::string& key) const {
  const auto it = current_.find(key);
  if (it == current_.end()) return std::nullopt;
  return world_.values->SizeOf(grants_[it->second].version);
}

Oracle::Visibility& Oracle::VisibilityOf(uint64_t version) {
  if (visibility_.size() <= version) visibility_.resize(version + 1);
  return visibility_[version];
}

// ---- The data plane

void Oracle::OnWriteLands(const Token& token, uint64_t from, uint64_t size_bytes) {
  const auto it = by_token_.find(token.sealed);
  if (it == by_token_.end()) {
    Violation("a write landed under a token that nobody was given");
    return;
  }
  const Grant& grant = grants_[it->second];
  const uint64_t offset = grant.extent.offset_bytes + from;
  for (size_t u = FirstUnit(offset); u < EndUnit(offset, size_bytes); ++u) {
    if (owners_.at(u) == it->second && grant.state == State::kOpen) continue;
    const bool reused = owners_.at(u) != it->second;
    Violation(fmt::format(
        "a write of {} landed at {} in {} memory", grant.key, offset,
        reused ? "reused" : (grant.state == State::kPublished ? "published" : "freed")));
    return;
  }
}

void Oracle::OnReadFetches(const Token& token, uint64_t from, uint64_t size_bytes) {
  const auto it = reads_by_lease_.find(static_cast<uint64_t>(token.lease));
  if (it == reads_by_lease_.end()) {
    Violation("a read fetched under a lease that nobody was given");
    return;
  }
  const ReadLease& lease = it->second;
  if (world_.scheduler->Now() >= lease.until) return;
  const Grant& grant = grants_[lease.grant];
  const uint64_t offset = grant.extent.offset_bytes + from;
  for (size_t u = FirstUnit(offset); u < EndUnit(offset, size_bytes); ++u) {
    if (owners_.at(u) == lease.grant) continue;
    Violation(fmt::format("a leased read of {} fetched reused memory at {}", grant.key,
                          offset));
    return;
  }
}

// ---- What clients conclude

void Oracle::OnPutAcknowledged(uint64_t version) {
  if (!VisibilityOf(version).published) {
    Violation(fmt::format("put of {}, version {}, was acknowledged and never published",
                          world_.values->KeyOf(version), version));
  } else if (!VisibilityOf(version).acknowledged) {
    Violation(fmt::format("put of {}, version {}, was acknowledged before it was settled",
                          world_.values->KeyOf(version), version));
  }
}

void Oracle::OnHit(std::string_view key, std::span<const std::byte> bytes,
                   Instant get_began) {
  const std::optional<uint64_t> version = world_.values->Recognize(bytes);
  if (!version.has_value()) {
    Violation(fmt::format("WRONG HIT: {} bytes of {} are no value", bytes.size(), key));
    return;
  }
  if (world_.values->KeyOf(*version) != key) {
    Violation(fmt::format("WRONG HIT: {} answered with version {} of {}", key, *version,
                          world_.values->KeyOf(*version)));
    return;
  }
  const Visibility& seen = VisibilityOf(*version);
  if (!seen.published) {
    Violation(fmt::format("WRONG HIT: {} version {} was never published", key, *version));
  } else if (seen.ended < get_began) {
    Violation(fmt::format("WRONG HIT: {} version {} was over before the get began", key,
                          *version));
  }
}

}  // namespace kvasir::sim
