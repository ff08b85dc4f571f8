#include "tests/support/fake_client.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/limits.h"

namespace kvasir {
namespace {

absl::Status Missing(std::string_view key) {
  return absl::NotFoundError(fmt::format("get: {} is not stored", PrintableKey(key)));
}

absl::Status Down(std::string_view verb) {
  return absl::UnavailableError(fmt::format("{}: no node answers", verb));
}

size_t TotalBytes(std::span<const std::span<std::byte>> slices) {
  size_t total = 0;
  for (const std::span<std::byte> slice : slices) total += slice.size();
  return total;
}

void Scatter(std::string_view bytes, std::span<const std::span<std::byte>> into) {
  for (const std::span<std::byte> slice : into) {
    const size_t part = std::min(slice.size(), bytes.size());
    if (part == 0) continue;
    std::memcpy(slice.data(), bytes.data(), part);
    bytes.remove_prefix(part);
  }
}

}  // namespace

class FakeClient::Handle final : public MemoryHandle {
 public:
  Handle(FakeClient* client, std::span<std::byte> bytes)
      : client_(client), bytes_(bytes) {}
  ~Handle() override {
    absl::MutexLock lock(&client_->mu_);
    --client_->live_registrations_;
  }
  std::span<std::byte> bytes() const override { return bytes_; }

 private:
  FakeClient* const client_;
  const std::span<std::byte> bytes_;
};

void FakeClient::SetDown(bool down) {
  absl::MutexLock lock(&mu_);
  down_ = down;
}

void FakeClient::LoseAtGet(std::string_view key) {
  absl::MutexLock lock(&mu_);
  faults_[std::string(key)] = {Fault::kLost};
}

void FakeClient::FailInFlight(std::string_view key) {
  absl::MutexLock lock(&mu_);
  faults_[std::string(key)] = {Fault::kInFlight};
}

void FakeClient::FlipBit(std::string_view key, size_t offset) {
  absl::MutexLock lock(&mu_);
  faults_[std::string(key)] = {Fault::kFlipped, offset};
}

void FakeClient::PretendToGet(std::string_view key) {
  absl::MutexLock lock(&mu_);
  faults_[std::string(key)] = {Fault::kPretended};
}

void FakeClient::FailPut(std::string_view key, absl::Status status) {
  absl::MutexLock lock(&mu_);
  put_faults_[std::string(key)] = std::move(status);
}

void FakeClient::MoveToDisk(std::string_view key) {
  absl::MutexLock lock(&mu_);
  on_disk_.emplace(key);
}

void FakeClient::SetCapacity(size_t blocks) {
  absl::MutexLock lock(&mu_);
  capacity_ = blocks;
}

void FakeClient::Insert(std::string_view key, Block block) {
  absl::MutexLock lock(&mu_);
  Store(key, std::move(block));
}

std::optional<FakeClient::Block> FakeClient::Find(std::string_view key) const {
  absl::MutexLock lock(&mu_);
  const auto it = blocks_.find(key);
  if (it == blocks_.end()) return std::nullopt;
  return it->second;
}

size_t FakeClient::size() const {
  absl::MutexLock lock(&mu_);
  return blocks_.size();
}

FakeClient::Calls FakeClient::calls() const {
  absl::MutexLock lock(&mu_);
  return calls_;
}

std::set<std::string> FakeClient::pins(std::string_view owner) const {
  absl::MutexLock lock(&mu_);
  const auto it = pins_.find(owner);
  return it == pins_.end() ? std::set<std::string>() : it->second;
}

std::set<std::string> FakeClient::pin_owners() const {
  absl::MutexLock lock(&mu_);
  std::set<std::string> owners;
  for (const auto& [owner, keys] : pins_) {
    if (!keys.empty()) owners.insert(owner);
  }
  return owners;
}

size_t FakeClient::live_registrations() const {
  absl::MutexLock lock(&mu_);
  return live_registrations_;
}

absl::StatusOr<std::unique_ptr<MemoryHandle>> FakeClient::Register(
    std::span<std::byte> memory) {
  absl::MutexLock lock(&mu_);
  ++calls_.registrations;
  ++live_registrations_;
  return std::make_unique<Handle>(this, memory);
}

LookupResult FakeClient::Lookup(std::span<const std::string_view> keys,
                                const LookupOptions& options) {
  absl::MutexLock lock(&mu_);
  ++calls_.lookups;
  calls_.lookup_timeout = options.timeout;
  calls_.pin_ttl = options.pin_ttl;
  LookupResult result;
  bool unbroken = true;
  for (const std::string_view key : keys) {
    const bool present = !unreachable() && blocks_.contains(key);
    unbroken = unbroken && present;
    result.present.push_back(present);
    result.on_disk.push_back(present && on_disk_.contains(key));
    result.prefix_count += unbroken ? 1 : 0;
    if (!present || options.pin_owner.empty() || !(unbroken || options.pin_all)) continue;
    pins_[std::string(options.pin_owner)].insert(std::string(key));
    ++result.pinned_count;
  }
  return result;
}

const FakeClient::Block* FakeClient::Readable(std::string_view key) const {
  const auto fault = faults_.find(key);
  if (unreachable() || (fault != faults_.end() && fault->second.fault == Fault::kLost)) {
    return nullptr;
  }
  const auto it = blocks_.find(key);
  return it == blocks_.end() ? nullptr : &it->second;
}

absl::Status FakeClient::Deliver(std::string_view key, const Block& block,
                                 std::span<const std::span<std::byte>> into) {
  const auto fault = faults_.find(key);
  std::string bytes = block.bytes;
  if (fault != faults_.end()) {
    switch (fault->second.fault) {
      case Fault::kInFlight:
        Scatter(bytes.substr(0, bytes.size() / 2), into);
        return Missing(key);
      case Fault::kFlipped:
        bytes[fault->second.offset] ^= 1;
        break;
      case Fault::kPretended:
        return absl::OkStatus();
      case Fault::kLost:
        return Missing(key);
    }
  }
  Scatter(bytes, into);
  on_disk_.erase(std::string(key));
  counters_.got_bytes_shm += bytes.size();
  return absl::OkStatus();
}

void FakeClient::DropPins(std::string_view owner,
                          std::span<const std::string_view> keys) {
  const auto it = pins_.find(owner);
  if (it == pins_.end()) return;
  for (const std::string_view key : keys) it->second.erase(std::string(key));
}

std::vector<absl::Status> FakeClient::Get(std::span<const GetItem> items,
                                          const GetOptions& options) {
  absl::MutexLock lock(&mu_);
  ++calls_.gets;
  calls_.get_timeout = options.timeout;
  std::vector<absl::Status> statuses;
  std::vector<std::string_view> keys;
  for (const GetItem& item : items) {
    keys.push_back(item.key);
    const Block* block = Readable(item.key);
    const bool fits = block != nullptr && TotalBytes(item.into) == block->bytes.size();
    statuses.push_back(fits ? Deliver(item.key, *block, item.into) : Missing(item.key));
    ++(statuses.back().ok() ? counters_.hits : counters_.misses);
  }
  DropPins(options.unpin_owner, keys);
  return statuses;
}

std::vector<absl::Status> FakeClient::Get(std::span<const std::string_view> keys,
                                          Sink& sink, const GetOptions& options) {
  std::vector<Landing> landings;
  std::vector<Block> blocks;  // copies: no lock is held while the sink runs
  {
    absl::MutexLock lock(&mu_);
    ++calls_.gets;
    calls_.get_timeout = options.timeout;
    for (size_t i = 0; i < keys.size(); ++i) {
      const Block* block = Readable(keys[i]);
      if (block == nullptr) continue;
      landings.push_back({.index = i, .size_bytes = block->bytes.size()});
      blocks.push_back(*block);
    }
  }
  for (size_t i = 0; i < landings.size(); ++i)
    landings[i].attributes = blocks[i].attributes;
  if (!landings.empty()) sink.Place(landings);

  absl::MutexLock lock(&mu_);
  std::vector<absl::Status> statuses;
  for (const std::string_view key : keys) statuses.push_back(Missing(key));
  for (size_t i = 0; i < landings.size(); ++i) {
    const size_t index = landings[i].index;
    if (landings[i].local.size() != blocks[i].bytes.size()) continue;
    statuses[index] = Deliver(keys[index], blocks[i], std::span(&landings[i].local, 1));
  }
  DropPins(options.unpin_owner, keys);
  return statuses;
}

void FakeClient::Store(std::string_view key, Block block) {
  if (blocks_.insert_or_assign(std::string(key), std::move(block)).second) {
    order_.emplace_back(key);
  }
  while (blocks_.size() > capacity_) {
    blocks_.erase(order_.front());
    order_.pop_front();
  }
}

absl::Status FakeClient::PutOne(const PutItem& item, const PutOptions& options) {
  if (unreachable()) return Down("put");
  for (const std::string_view fault : {item.key, std::string_view()}) {
    const auto it = put_faults_.find(fault);
    if (it != put_faults_.end()) return it->second;
  }
  std::string bytes;
  for (const std::span<const std::byte> slice : item.payload) {
    bytes.append(reinterpret_cast<const char*>(slice.data()), slice.size());
  }
  if (item.key.empty() || item.key.size() > kMaxKeyBytes || bytes.empty() ||
      bytes.size() > kMaxBlockBytes || item.attributes.size() > kMaxAttributesBytes) {
    return absl::InvalidArgumentError(
        fmt::format("put: key of {} bytes, block of {}, attributes of {} break a limit",
                    item.key.size(), bytes.size(), item.attributes.size()));
  }
  if (blocks_.contains(item.key) && !options.replace) {
    return absl::AlreadyExistsError(
        fmt::format("put: {} is already stored", PrintableKey(item.key)));
  }
  counters_.put_bytes_shm += bytes.size();
  Store(item.key, {std::move(bytes), std::string(item.attributes)});
  return absl::OkStatus();
}

std::vector<absl::Status> FakeClient::Put(std::span<const PutItem> items,
                                          const PutOptions& options) {
  absl::MutexLock lock(&mu_);
  ++calls_.puts;
  calls_.put_timeout = options.timeout;
  calls_.durability = options.durability;
  std::set<std::string_view> seen;
  std::vector<absl::Status> statuses;
  for (const PutItem& item : items) {
    statuses.push_back(
        seen.insert(item.key).second
            ? PutOne(item, options)
            : absl::InvalidArgumentError("put: key stands twice in the batch"));
    ++(statuses.back().ok() ? counters_.puts : counters_.put_failures);
  }
  return statuses;
}

std::vector<absl::Status> FakeClient::Pin(std::span<const std::string_view> keys,
                                          std::string_view owner,
                                          std::chrono::milliseconds ttl,
                                          const CallOptions& options) {
  absl::MutexLock lock(&mu_);
  std::vector<absl::Status> statuses;
  for (const std::string_view key : keys) {
    const bool present = !unreachable() && blocks_.contains(key);
    statuses.push_back(present ? absl::OkStatus() : Missing(key));
    if (present) pins_[std::string(owner)].insert(std::string(key));
  }
  return statuses;
}

absl::Status FakeClient::Unpin(std::string_view owner, const CallOptions& options) {
  absl::MutexLock lock(&mu_);
  if (unreachable()) return Down("unpin");
  pins_.erase(std::string(owner));
  return absl::OkStatus();
}

std::vector<absl::Status> FakeClient::Remove(std::span<const std::string_view> keys,
                                             const CallOptions& options) {
  absl::MutexLock lock(&mu_);
  std::vector<absl::Status> statuses;
  for (const std::string_view key : keys) {
    if (unreachable()) {
      statuses.push_back(Down("remove"));
      continue;
    }
    const bool removed = blocks_.erase(std::string(key)) > 0;
    if (removed) order_.erase(std::find(order_.begin(), order_.end(), key));
    statuses.push_back(removed ? absl::OkStatus() : Missing(key));
  }
  return statuses;
}

absl::StatusOr<std::vector<std::string>> FakeClient::List(std::string_view prefix,
                                                          size_t limit,
                                                          const CallOptions& options) {
  absl::MutexLock lock(&mu_);
  if (unreachable()) return Down("list");
  std::vector<std::string> keys;
  for (auto it = blocks_.lower_bound(prefix); it != blocks_.end(); ++it) {
    if (keys.size() == limit || !it->first.starts_with(prefix)) break;
    keys.push_back(it->first);
  }
  return keys;
}

std::vector<absl::Status> FakeClient::Ping(const CallOptions& options) {
  absl::MutexLock lock(&mu_);
  return {unreachable() ? Down("ping") : absl::OkStatus()};
}

absl::StatusOr<std::vector<std::map<std::string, double>>> FakeClient::Stats(
    const CallOptions& options) {
  absl::MutexLock lock(&mu_);
  if (unreachable()) return Down("stats");
  return std::vector<std::map<std::string, double>>{
      {{"blocks", static_cast<double>(blocks_.size())}}};
}

ClientCounters FakeClient::counters() const {
  absl::MutexLock lock(&mu_);
  return counters_;
}

std::vector<std::optional<std::string>> FakeClient::transports() const {
  absl::MutexLock lock(&mu_);
  if (unreachable()) return {std::nullopt};
  return {"shm"};
}

void FakeClient::Close() {
  absl::MutexLock lock(&mu_);
  ++calls_.closes;
  closed_ = true;
}

}  // namespace kvasir
