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

void Oracle::OnRequest(const v1::LaneRequest& request, const Facts& facts) {
  first_writer_lost_.clear();
  for (const v1::CommitItem& item : request.commit().items()) {
    const Grant* const grant = FindLease(item.lease());
    if (grant == nullptr || grant->replace || grant->published) continue;
    if (facts.IsResident(grant->key)) first_writer_lost_.insert(item.lease());
  }
}

void Oracle::OnAnswer(SessionId session, LaneId lane, const v1::LaneRequest& request,
                      const v1::LaneResponse& response, const Facts& facts) {
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
      OnWriteGrants(session, lane, request.grant_writes(), response.grant_writes(),
                    facts);
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
      for (const std::string& key : request.remove().keys()) EndCurrent(key);
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
  while (!current_.empty()) EndCurrent(std::string(current_.begin()->first));
}

void Oracle::OnLookup(SessionId session, const v1::LookupRequest& request,
                      const v1::LookupResponse& response) {
  const auto ttl = std::chrono::milliseconds(request.pin_ttl_ms());
  const Instant until = world_.scheduler->Now() + ttl - ttl / 500 - kLeaseMargin;
  for (int i = 0; i < request.keys_size(); ++i) {
    const std::string& key = request.keys(i);
    if (response.residency()[i] < v1::RESIDENCY_MEMORY) {
      EndCurrent(key);
      continue;
    }
    const auto current = current_.find(key);
    if (current == current_.end()) {
      Violation(fmt::format("lookup found {}, which is not there", key));
      continue;
    }
    const bool within = static_cast<uint32_t>(i) < response.prefix_count();
    if (request.pin_owner().empty() || (!within && !request.pin_all())) continue;
    Pin& pin = pins_[{session.ToBytes(), request.pin_owner(), key}];
    pin = {.grant = current->second, .until = std::max(pin.until, until)};
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
    if (granted.outcome() == v1::KEY_OUTCOME_MISS) EndCurrent(key);
    if (granted.outcome() != v1::KEY_OUTCOME_OK) continue;
    OnReadGrant({.session = session, .lane = lane, .until = until}, key, granted);
  }
}

void Oracle::OnReadGrant(const ReadLease& holder, const std::string& key,
                         const v1::ReadGrant& granted) {
  const std::optional<size_t> owner = owners_.at(FirstUnit(granted.offset_bytes()));
  const Grant* const grant = owner.has_value() ? &grants_[*owner] : nullptr;
  if (grant == nullptr || grant->state != State::kPublished || grant->key != key ||
      grant->extent.offset_bytes != granted.offset_bytes() ||
      grant->extent.size_bytes != granted.size_bytes()) {
    Violation(fmt::format("read grant {} of {}: the memory at {} is not that block's",
                          granted.lease(), key, granted.offset_bytes()));
    return;
  }
  const auto current = current_.find(key);
  if (current == current_.end() || current->second != *owner) {
    Violation(fmt::format("read grant {} of {}: version {} is not the current one",
                          granted.lease(), key, grant->version));
  }
  ReadLease& lease = reads_by_lease_[granted.lease()];
  lease = holder;
  lease.grant = *owner;
  unreleased_.insert(granted.lease());
}

void Oracle::OnWriteGrants(SessionId session, LaneId lane,
                           const v1::GrantWritesRequest& request,
                           const v1::GrantWritesResponse& response, const Facts& facts) {
  for (int i = 0; i < response.grants_size(); ++i) {
    const v1::WriteGrant& granted = response.grants(i);
    if (granted.outcome() != v1::KEY_OUTCOME_OK || granted.lease() == 0) continue;
    const size_t index = grants_.size();
    grants_.push_back({.key = request.writes(i).key(),
                       .session = session,
                       .lane = lane,
                       .extent = {RegionId{granted.region()}, granted.offset_bytes(),
                                  request.writes(i).size_bytes()},
                       .replace = request.replace()});
    by_token_[granted.token()] = index;
    by_lease_[granted.lease()] = index;
    ++seen_.grants;
    GiveMemoryTo(index, facts);
  }
}

void Oracle::GiveMemoryTo(size_t index, const Facts& facts) {
  const Extent& extent = grants_[index].extent;
  const size_t end = EndUnit(extent.offset_bytes, extent.size_bytes);
  for (size_t unit = FirstUnit(extent.offset_bytes); unit < end; ++unit) {
    std::optional<size_t>& owner = owners_.at(unit);
    if (owner.has_value() && owner != index) {
      Grant& before = grants_[*owner];
      const auto current = current_.find(before.key);
      if (current != current_.end() && current->second == *owner) {
        EndCurrent(std::string(before.key));
      }
      if (std::exchange(before.state, State::kFreed) == State::kPublished) {
        CheckLeasesOn(*owner, facts);
      }
      ++seen_.reuses;
    }
    owner = index;
  }
}

// The memory of `grant` has just been given to another.
void Oracle::CheckLeasesOn(size_t grant, const Facts& facts) {
  for (const uint64_t id : unreleased_) {
    const ReadLease& lease = reads_by_lease_.at(id);
    if (lease.grant != grant || world_.scheduler->Now() >= lease.until) continue;
    if (!facts.CanRead(lease.session, lease.lane)) continue;
    Violation(fmt::format("memory at {} given away under read lease {} of {}",
                          grants_[grant].extent.offset_bytes, id, grants_[grant].key));
  }
  for (const auto& [name, pin] : pins_) {
    if (pin.grant != grant || world_.scheduler->Now() >= pin.until) continue;
    if (!facts.IsLive(*SessionId::FromBytes(std::get<0>(name)))) continue;
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
    Grant* const grant = FindLease(lease);
    switch (response.outcomes(i)) {
      case v1::KEY_OUTCOME_OK:
        if (grant != nullptr && grant->published) break;  // the same commit again
        if (grant == nullptr || grant->state != State::kOpen) {
          Violation(
              fmt::format("commit of lease {}, which is over, was accepted", lease));
        } else {
          if (first_writer_lost_.contains(lease)) {
            Violation(
                fmt::format("put of {} won over a block that was there", grant->key));
          }
          Publish(by_lease_.at(lease));
        }
        break;
      case v1::KEY_OUTCOME_EXISTS:
        if (grant != nullptr && grant->state == State::kOpen)
          grant->state = State::kFreed;
        break;
      default:
        break;
    }
  }
}

void Oracle::Publish(size_t index) {
  Grant* const grant = &grants_[index];
  const std::span<const std::byte> bytes =
      world_.arena.subspan(grant->extent.offset_bytes, grant->extent.size_bytes);
  const std::optional<uint64_t> version = world_.values->Recognize(bytes);
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
  VisibilityOf(*version) = {.published = true};
  current_[grant->key] = index;
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
  if (VisibilityOf(version).published) return;
  Violation(fmt::format("put of {}, version {}, was acknowledged and never published",
                        world_.values->KeyOf(version), version));
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
