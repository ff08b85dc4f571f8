#include "client/connector/connector.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/bytes.h"
#include "base/random.h"
#include "client/connector/storage_key.h"

namespace kvasir {
namespace {

// Never empty, since an empty owner means no pin; never too long.
std::string OwnerOf(std::string_view lookup_id) {
  std::string owner = fmt::format("lookup/{}", lookup_id);
  return owner.size() <= kMaxOwnerBytes ? owner : StandIn(owner);
}

// Asks the engine for memory once sizes are known, and keeps account of what it gave.
class AllocatingSink final : public Sink {
 public:
  struct Placed {
    std::span<std::byte> memory;
    std::string attributes;
  };

  AllocatingSink(size_t keys, ObjectAllocator& allocator)
      : allocator_(allocator), placed_(keys) {}

  void Place(std::span<Landing> landings) override {
    for (Landing& landing : landings) landing.local = PlaceOne(landing);
  }

  std::vector<std::optional<Placed>>& placed() { return placed_; }
  size_t failures() const { return failures_; }

 private:
  std::span<std::byte> PlaceOne(const Landing& landing) {
    const std::span<std::byte> memory =
        allocator_.Allocate(landing.index, landing.size_bytes, landing.attributes);
    if (memory.size() != landing.size_bytes) {
      if (!memory.empty()) allocator_.Release(landing.index, memory);
      ++failures_;
      return {};
    }
    placed_[landing.index] = Placed{memory, std::string(landing.attributes)};
    return memory;
  }

  ObjectAllocator& allocator_;
  std::vector<std::optional<Placed>> placed_;
  size_t failures_ = 0;
};

std::optional<std::chrono::milliseconds> Soonest(
    const CallOptions& call, std::optional<std::chrono::milliseconds> usual) {
  if (!call.timeout.has_value()) return usual;
  return usual.has_value() ? std::min(*call.timeout, *usual) : call.timeout;
}

// Another client's put is as good, unless that may be less durable than this one.
bool IsStored(const absl::Status& status, Durability durability) {
  return status.ok() || absl::IsAlreadyExists(status) ||
         (absl::IsAborted(status) && durability == Durability::kNone);
}

}  // namespace

Connector::Connector(std::unique_ptr<Client> client, const ConnectorOptions& options)
    : client_(std::move(client)),
      options_(options),
      contains_owner_(fmt::format("contains/{:016x}", SecureRandom64())) {}

Connector::~Connector() { Close(); }

absl::StatusOr<std::unique_ptr<MemoryHandle>> Connector::Register(
    std::span<std::byte> memory) {
  return client_->Register(memory);
}

LookupResult Connector::Look(std::span<const std::string_view> keys,
                             const Pinning& pinning, const CallOptions& call) {
  LookupOptions options;
  options.timeout = Soonest(call, options_.lookup_timeout);
  if (pinning.ttl.count() > 0) {
    options.pin_owner = pinning.owner;
    options.pin_ttl = pinning.ttl;
    options.pin_all = pinning.all;
  }
  return client_->Lookup(StorageKeys(keys).views(), options);
}

Connector::Pinning Connector::ContainsLease(bool all) const {
  return {.owner = contains_owner_, .ttl = options_.contains_lease, .all = all};
}

bool Connector::ExistsSync(std::string_view key) {
  return BatchedContains(std::span(&key, 1)) == 1;
}

size_t Connector::BatchedContains(std::span<const std::string_view> keys) {
  return Look(keys, ContainsLease(/*all=*/false), {}).prefix_count;
}

std::vector<bool> Connector::BatchedContainsBitmap(
    std::span<const std::string_view> keys) {
  return Look(keys, ContainsLease(/*all=*/true), {}).present;
}

size_t Connector::BatchedAsyncContains(const PinnedLookup& lookup,
                                       std::span<const std::string_view> keys,
                                       const CallOptions& call) {
  if (!lookup.pin) return Look(keys, ContainsLease(/*all=*/false), call).prefix_count;
  const std::string owner = OwnerOf(lookup.lookup_id);
  return Look(keys, {.owner = owner, .ttl = options_.pin_ttl}, call).prefix_count;
}

absl::Status Connector::Unpin(std::string_view lookup_id) {
  return client_->Unpin(OwnerOf(lookup_id), {.timeout = options_.lookup_timeout});
}

std::vector<std::optional<ConnectorObject>> Connector::Fetch(
    std::span<const std::string_view> keys, ObjectAllocator& allocator,
    std::string_view pin_owner, const CallOptions& call) {
  AllocatingSink sink(keys.size(), allocator);
  const std::vector<absl::Status> statuses = client_->Get(
      StorageKeys(keys).views(), sink,
      {.timeout = Soonest(call, options_.get_timeout), .unpin_owner = pin_owner});
  std::vector<std::optional<ConnectorObject>> objects(keys.size());
  uint64_t hits = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    std::optional<AllocatingSink::Placed>& placed = sink.placed()[i];
    if (!placed.has_value()) continue;
    if (statuses[i].ok()) {
      objects[i] = ConnectorObject{placed->memory, std::move(placed->attributes)};
      ++hits;
    } else {
      allocator.Release(i, placed->memory);
    }
  }
  hits_ += hits;
  misses_ += keys.size() - hits;
  allocation_failures_ += sink.failures();
  return objects;
}

std::optional<ConnectorObject> Connector::Get(std::string_view key,
                                              ObjectAllocator& allocator) {
  return std::move(BatchedGet(std::span(&key, 1), allocator).front());
}

std::vector<std::optional<ConnectorObject>> Connector::BatchedGet(
    std::span<const std::string_view> keys, ObjectAllocator& allocator,
    const CallOptions& call) {
  const bool leased = options_.contains_lease.count() > 0;
  return Fetch(keys, allocator, leased ? contains_owner_ : std::string_view(), call);
}

std::vector<ConnectorObject> Connector::BatchedGetNonBlocking(
    std::string_view lookup_id, std::span<const std::string_view> keys,
    ObjectAllocator& allocator, const CallOptions& call) {
  std::vector<std::optional<ConnectorObject>> fetched =
      Fetch(keys, allocator, OwnerOf(lookup_id), call);
  std::vector<ConnectorObject> prefix;
  size_t i = 0;
  for (; i < fetched.size() && fetched[i].has_value(); ++i) {
    prefix.push_back(*std::move(fetched[i]));
  }
  // The caller takes the n-th object for the n-th key, so nothing may follow a hole.
  for (; i < fetched.size(); ++i) {
    if (!fetched[i].has_value()) continue;
    allocator.Release(i, fetched[i]->bytes);
    ++released_after_miss_;
  }
  return prefix;
}

std::vector<bool> Connector::BatchedGetInto(std::span<const GetItem> items) {
  std::vector<std::string_view> keys(items.size());
  std::transform(items.begin(), items.end(), keys.begin(),
                 [](const GetItem& item) { return item.key; });
  const StorageKeys storage_keys(keys);
  std::vector<GetItem> stored(items.begin(), items.end());
  for (size_t i = 0; i < items.size(); ++i) stored[i].key = storage_keys.views()[i];
  GetOptions options{.timeout = options_.get_timeout};
  if (options_.contains_lease.count() > 0) options.unpin_owner = contains_owner_;
  const std::vector<absl::Status> statuses = client_->Get(stored, options);
  std::vector<bool> arrived(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    arrived[i] = statuses[i].ok();
    ++(arrived[i] ? hits_ : misses_);
  }
  return arrived;
}

absl::Status Connector::Put(const PutItem& item) {
  return BatchedPut(std::span(&item, 1)).front();
}

std::vector<absl::Status> Connector::BatchedPut(std::span<const PutItem> items,
                                                const CallOptions& call) {
  std::vector<std::string_view> keys(items.size());
  std::transform(items.begin(), items.end(), keys.begin(),
                 [](const PutItem& item) { return item.key; });
  const StorageKeys storage_keys(keys);
  // The client refuses a key that stands twice in a batch; the first one is as good.
  absl::flat_hash_map<std::string_view, size_t> position;
  std::vector<size_t> sent_as(items.size());
  std::vector<PutItem> sent;
  for (size_t i = 0; i < items.size(); ++i) {
    const auto [it, fresh] = position.try_emplace(storage_keys.views()[i], sent.size());
    sent_as[i] = it->second;
    if (!fresh) continue;
    sent.push_back(items[i]);
    sent.back().key = storage_keys.views()[i];
  }
  const std::vector<absl::Status> statuses =
      client_->Put(sent, {.timeout = Soonest(call, options_.put_timeout),
                          .durability = options_.durability});
  for (const absl::Status& status : statuses) {
    const bool stored = IsStored(status, options_.durability);
    ++(status.ok() ? puts_ : stored ? puts_present_ : put_failures_);
  }
  std::vector<absl::Status> answers(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    const absl::Status& status = statuses[sent_as[i]];
    if (!IsStored(status, options_.durability)) answers[i] = status;
  }
  return answers;
}

absl::Status Connector::Remove(std::string_view key) {
  const StorageKeys storage_keys(std::span(&key, 1));
  return client_->Remove(storage_keys.views(), {.timeout = options_.lookup_timeout})
      .front();
}

absl::StatusOr<std::vector<std::string>> Connector::List(std::string_view prefix,
                                                         size_t limit) {
  absl::StatusOr<std::vector<std::string>> keys =
      client_->List(prefix, limit, {.timeout = options_.lookup_timeout});
  if (keys.ok()) {
    std::erase_if(*keys, [](const std::string& key) { return NeedsStandIn(key); });
  }
  return keys;
}

absl::Status Connector::Ping() {
  const std::vector<absl::Status> nodes =
      client_->Ping({.timeout = options_.lookup_timeout});
  std::string said;
  for (const absl::Status& status : nodes) {
    if (status.ok()) return status;
    said += fmt::format("{}{}", said.empty() ? "" : "; ", ToStd(status.message()));
  }
  return absl::UnavailableError(
      fmt::format("ping: none of {} nodes answers: {}", nodes.size(), said));
}

void Connector::Close() { client_->Close(); }

ConnectorCounters Connector::counters() const {
  return {.hits = hits_,
          .misses = misses_,
          .allocation_failures = allocation_failures_,
          .released_after_miss = released_after_miss_,
          .puts = puts_,
          .puts_present = puts_present_,
          .put_failures = put_failures_};
}

}  // namespace kvasir
