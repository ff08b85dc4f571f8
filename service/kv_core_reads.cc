#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/bytes.h"
#include "fmt/core.h"
#include "service/enum_codec.h"
#include "service/kv_core_impl.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

constexpr size_t kUsualBatch = 64;

milliseconds PinTtl(uint32_t asked_ms) {
  if (asked_ms == 0) return kDefaultLeaseTtl;
  return std::min(milliseconds(asked_ms), milliseconds(kMaxPinTtl));
}

bool IsHit(Residency residency) { return residency >= Residency::kMemory; }

// The wire has a value more, for "unspecified", before ours.
char ToWire(Residency residency) { return static_cast<char>(static_cast<int>(residency) + 1); }
static_assert(static_cast<int>(Residency::kAbsent) + 1 == v1::RESIDENCY_ABSENT);
static_assert(static_cast<int>(Residency::kMemory) + 1 == v1::RESIDENCY_MEMORY);
static_assert(static_cast<int>(Residency::kDisk) + 1 == v1::RESIDENCY_DISK);

// A lookup has no outcome for each key: one bad key refuses it all.
absl::Status CheckKeys(const google::protobuf::RepeatedPtrField<std::string>& keys) {
  for (int n = 0; n < keys.size(); ++n) {
    if (const size_t size = keys[n].size(); size > 0 && size <= kMaxKeyBytes) continue;
    return BadRequest(fmt::format("lookup: key {}: {}", n, KeyFault(keys[n])));
  }
  return absl::OkStatus();
}

}  // namespace

struct KvCore::Impl::Pinning {
  std::string_view owner;  // empty: none
  bool all = false;
  bool promote = false;
  Instant expiry;
  uint32_t pinned = 0;
};

struct KvCore::Impl::Found {
  v1::ReadGrant* grant;
  BlockRef block;
};

absl::Status KvCore::Impl::Lookup(const Call& call, const v1::LookupRequest& request,
                                  v1::LookupResponse* response) {
  const int keys = request.keys_size();
  absl::Status status = CheckKeyCount("lookup", keys);
  if (status.ok()) status = CheckOwner("lookup", request.pin_owner());
  if (status.ok()) status = CheckKeys(request.keys());
  if (status.ok() && !request.pin_owner().empty()) status = CheckNotDraining("pin");
  if (!status.ok()) return status;
  Pinning pinning{request.pin_owner(), request.pin_all(), request.promote(), {}, 0};
  if (!pinning.owner.empty()) pinning.expiry = clock_->Now() + PinTtl(request.pin_ttl_ms());
  uint32_t hits = 0;
  uint32_t prefix = 0;
  std::string& residencies = *response->mutable_residency();
  residencies.resize(keys);
  for (int n = 0; n < keys; ++n) {
    const bool within_prefix = prefix == static_cast<uint32_t>(n);
    const Residency residency = LookUpOne(call, request.keys(n), within_prefix, &pinning);
    residencies[n] = ToWire(residency);
    if (!IsHit(residency)) continue;
    ++hits;
    if (within_prefix) ++prefix;
  }
  response->set_prefix_count(prefix);
  response->set_pinned_count(pinning.pinned);
  ++counters_.lookups;
  counters_.lookup_keys += keys;
  counters_.lookup_hits += hits;
  return absl::OkStatus();
}

Residency KvCore::Impl::LookUpOne(const Call& call, std::string_view key, bool within_prefix,
                                  Pinning* pinning) {
  const Residency residency = store_->Probe(key);
  const bool pin = !pinning->owner.empty() && (within_prefix || pinning->all);
  if (residency == Residency::kDisk && (pin || pinning->promote)) {
    PromoteOne(call, key, *pinning, pin);
  }
  if (!pin || !IsHit(residency) || residency == Residency::kDisk) return residency;
  absl::StatusOr<BlockRef> block = store_->Fetch(key);
  if (!block.ok()) return Residency::kAbsent;  // It went between the two calls.
  // Beyond kMaxPins it is a hit all the same; pinned_count tells.
  const absl::Status status =
      leases_->Pin(call.session(), pinning->owner, *std::move(block), pinning->expiry);
  if (status.ok()) ++pinning->pinned;
  return residency;
}

void KvCore::Impl::PromoteOne(const Call& call, std::string_view key,
                              const Pinning& pinning, bool pin) {
  Promoter::Landed landed;
  if (pin) {
    landed = [this, session = call.session(), owner = std::string(pinning.owner),
              expiry = pinning.expiry](const BlockRef* block) {
      if (block == nullptr) return;
      // Within a call: a session that has ended gets no pins any more (leases.md, I8).
      const absl::StatusOr<Call> inside = Enter(session);
      if (!inside.ok()) return;
      // Beyond kMaxPins it is in memory all the same.
      leases_->Pin(session, owner, block->Share(), expiry).IgnoreError();
    };
  }
  // Where it cannot come now, a get tries again.
  (void)store_->Promote(key, std::move(landed));
}

v1::KeyOutcome KvCore::Impl::FetchOrPromote(std::string_view key, bool asked_before,
                                            BlockRef* block) {
  // Before the fetch: what lands in between is found by that.
  const bool promoting = asked_before && store_->IsPromoting(key);
  absl::StatusOr<BlockRef> found = store_->Fetch(key);
  if (found.ok()) {
    *block = *std::move(found);
    return v1::KEY_OUTCOME_OK;
  }
  if (promoting) return v1::KEY_OUTCOME_PROMOTING;
  if (!asked_before && store_->Promote(key, {})) {
    ++counters_.read_promotions;
    return v1::KEY_OUTCOME_PROMOTING;
  }
  ++counters_.read_misses;
  return v1::KEY_OUTCOME_MISS;
}

absl::Status KvCore::Impl::GrantReads(const Call& call, const v1::GrantReadsRequest& request,
                                      v1::GrantReadsResponse* response,
                                      AfterReply* after_reply) {
  absl::Status status = CheckKeyCount("grant reads", request.keys_size());
  if (status.ok()) status = CheckOwner("grant reads", request.unpin_owner());
  if (!status.ok()) return status;
  absl::InlinedVector<Found, kUsualBatch> found;
  for (const std::string& key : request.keys()) {
    v1::ReadGrant* const grant = response->add_grants();
    if (std::string fault = KeyFault(key); !fault.empty()) {
      grant->set_outcome(v1::KEY_OUTCOME_INVALID);
      grant->set_detail(std::move(fault));
      ++counters_.read_misses;
      continue;
    }
    BlockRef block;
    const v1::KeyOutcome outcome = FetchOrPromote(key, request.wait_ms() != 0, &block);
    if (outcome == v1::KEY_OUTCOME_OK) {
      found.push_back({grant, std::move(block)});
    } else {
      grant->set_outcome(outcome);
    }
  }
  const bool push = request.push() && after_reply != nullptr && call.transport()->can_push();
  std::vector<ServerTransport::PushItem> pushes;
  const milliseconds ttl = LeaseTtl(request.ttl_ms());
  const Instant expiry = clock_->Now() + ttl + kLeaseGrace;
  for (Found& one : found) GrantRead(call, &one, expiry, one.grant, push ? &pushes : nullptr);
  response->set_ttl_ms(ttl.count());
  response->set_pushed(push);
  if (!request.unpin_owner().empty()) {
    const std::vector<std::string_view> keys(request.keys().begin(), request.keys().end());
    leases_->UnpinKeys(call.session(), request.unpin_owner(), keys);
  }
  if (pushes.empty()) return absl::OkStatus();
  // A lane that has gone by then pushes nothing, and nobody is there to miss it.
  *after_reply = [transport = call.transport(), session = call.session(), lane = call.lane(),
                  pushes = std::move(pushes)]() mutable {
    (void)transport->Push(session, lane, std::span(pushes));
  };
  return absl::OkStatus();
}

// With `pushes` the token goes there instead of into the answer.
void KvCore::Impl::GrantRead(const Call& call, Found* found, Instant expiry,
                             v1::ReadGrant* grant,
                             std::vector<ServerTransport::PushItem>* pushes) {
  const Extent extent = found->block.extent();
  grant->set_region(static_cast<uint32_t>(extent.region));
  grant->set_offset_bytes(extent.offset_bytes);
  grant->set_size_bytes(found->block.size_bytes());
  grant->set_checksum(found->block.checksum());
  const std::string_view attributes = found->block.attributes();
  grant->set_attributes(attributes.data(), attributes.size());
  absl::StatusOr<LeaseTable::Granted> granted =
      leases_->GrantRead({call.session(), call.lane()}, std::move(found->block), expiry);
  if (!granted.ok()) {
    grant->Clear();
    grant->set_outcome(v1::KEY_OUTCOME_REFUSED);
    grant->set_detail(std::string(ToStd(granted.status().message())));
    return;
  }
  ++counters_.read_grants;
  call.transport()->OnGranted(Access::kRead, grant->size_bytes());
  grant->set_outcome(v1::KEY_OUTCOME_OK);
  grant->set_lease(static_cast<uint64_t>(granted->lease));
  if (pushes == nullptr) {
    grant->set_token(std::move(granted->sealed));
    return;
  }
  pushes->push_back({granted->lease, std::move(granted->sealed), grant->size_bytes()});
}

absl::Status KvCore::Impl::Release(const Call& call, std::span<const uint64_t> leases) {
  if (leases.empty()) return absl::OkStatus();
  if (absl::Status status = CheckReleaseCount("release", leases.size()); !status.ok()) {
    return status;
  }
  leases_->Release(call.session(), leases);
  return absl::OkStatus();
}

absl::Status KvCore::Impl::Remove(const Call&, const v1::RemoveRequest& request,
                                  v1::RemoveResponse* response) {
  absl::Status status = CheckKeyCount("remove", request.keys_size());
  if (!status.ok()) return status;
  for (const std::string& key : request.keys()) {
    if (!KeyFault(key).empty()) {
      response->add_outcomes(v1::KEY_OUTCOME_INVALID);
      continue;
    }
    const TieredStore::Removed removed = store_->Remove(key);
    response->add_outcomes(ToProto(removed));
    if (removed == TieredStore::Removed::kRemoved) ++counters_.removes;
  }
  return absl::OkStatus();
}

absl::Status KvCore::Impl::UnpinOwner(const Call& call, const v1::UnpinOwnerRequest& request,
                                      v1::UnpinOwnerResponse* response) {
  if (request.owner().empty()) return BadRequest("unpin: the owner is empty");
  if (absl::Status status = CheckOwner("unpin", request.owner()); !status.ok()) return status;
  response->set_unpinned_count(leases_->Unpin(call.session(), request.owner()));
  return absl::OkStatus();
}

}  // namespace kvasir
