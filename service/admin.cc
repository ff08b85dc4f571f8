#include "service/admin.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/status_reason.h"
#include "service/enum_codec.h"
#include "service/key_text.h"
#include "service/metrics.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

constexpr size_t kDefaultPageSize = 100;
constexpr size_t kSessionDigitsShown = 8;
// A page of the longest keys would not fit into a message; one that is cut shorter only
// means another page.
constexpr size_t kPageBytesMax = kMaxMessageBytes / 2;

absl::Status BadRequest(std::string message) {
  return WithReason(absl::InvalidArgumentError(message), kReasonBadRequest);
}
absl::Status OverLimit(std::string message) {
  return WithReason(absl::InvalidArgumentError(message), kReasonLimit);
}

absl::StatusOr<std::string> ReadKey(const v1::KeyName& name, std::string_view where) {
  if (name.name_case() == v1::KeyName::NAME_NOT_SET) {
    return BadRequest(fmt::format("{}: neither key nor text is set", where));
  }
  std::string key = name.has_text() ? KeyFromText(name.text()) : name.key();
  if (key.empty()) return BadRequest(fmt::format("{}: the key is empty", where));
  if (key.size() > kMaxKeyBytes) {
    return OverLimit(fmt::format("{}: the key has {} bytes, {} are allowed", where,
                                 key.size(), kMaxKeyBytes));
  }
  return key;
}

using KeyNames = google::protobuf::RepeatedPtrField<v1::KeyName>;

absl::StatusOr<std::vector<std::string>> ReadKeys(const KeyNames& names) {
  if (static_cast<size_t>(names.size()) > kMaxKeysPerCall) {
    return OverLimit(fmt::format("keys: {} in one call, {} are allowed", names.size(),
                                 kMaxKeysPerCall));
  }
  std::vector<std::string> keys;
  for (int i = 0; i < names.size(); ++i) {
    absl::StatusOr<std::string> key = ReadKey(names[i], fmt::format("keys[{}]", i));
    if (!key.ok()) return key.status();
    keys.push_back(*std::move(key));
  }
  return keys;
}

absl::Status CheckOwner(std::string_view owner) {
  if (owner.empty()) return BadRequest("owner: it is empty");
  if (owner.size() <= kMaxOwnerBytes) return absl::OkStatus();
  return OverLimit(fmt::format("owner: it has {} bytes, {} are allowed", owner.size(),
                               kMaxOwnerBytes));
}

absl::StatusOr<size_t> ReadPageSize(uint32_t asked) {
  if (asked > kMaxListPageSize) {
    return OverLimit(
        fmt::format("page_size: {} asked, {} are allowed", asked, kMaxListPageSize));
  }
  return asked == 0 ? kDefaultPageSize : asked;
}

// Page tokens: what the page before ended with, in base64. Not a secret and not
// trusted: whatever it says, the answer is keys after it.
absl::StatusOr<std::string> ReadPageToken(const std::string& token) {
  std::string last;
  if (!absl::WebSafeBase64Unescape(token, &last)) {
    return BadRequest("page_token: it is not from an answer of this call");
  }
  return last;
}

// A token of two strings: the length of the first in decimal, a colon, then both.
std::string JoinPinToken(std::string_view owner, std::string_view key) {
  return absl::WebSafeBase64Escape(fmt::format("{}:{}{}", owner.size(), owner, key));
}

absl::StatusOr<std::pair<std::string, std::string>> ReadPinToken(
    const std::string& token) {
  using Pair = std::pair<std::string, std::string>;
  if (token.empty()) return Pair();
  const absl::StatusOr<std::string> joined = ReadPageToken(token);
  if (!joined.ok()) return joined.status();
  const size_t colon = joined->find(':');
  const std::string_view digits = std::string_view(*joined).substr(0, colon);
  const bool numeric = colon != std::string::npos && !digits.empty() &&
                       digits.size() <= 3 &&
                       digits.find_first_not_of("0123456789") == std::string_view::npos;
  const size_t owner_bytes = numeric ? std::stoul(std::string(digits)) : 0;
  if (!numeric || joined->size() - colon - 1 < owner_bytes) {
    return BadRequest("page_token: it is not from an answer of this call");
  }
  return Pair(joined->substr(colon + 1, owner_bytes),
              joined->substr(colon + 1 + owner_bytes));
}

void FillKeyInfo(const KeyInfo& from, v1::KeyInfo* to) {
  to->set_key(from.key);
  to->set_text(KeyToText(from.key));
  to->set_size_bytes(from.size_bytes);
  to->set_checksum(from.checksum);
  to->set_attributes(from.attributes);
  to->set_residency(ToProto(from.residency));
  to->set_references(from.references);
  to->set_generation(from.generation);
}

milliseconds Millis(BootClock::duration value) {
  return std::chrono::duration_cast<milliseconds>(value);
}

void FillPinInfo(const LeaseTable::PinView& from, Instant now, v1::PinInfo* to) {
  to->set_key(from.key);
  to->set_text(KeyToText(from.key));
  to->set_owner(KeyToText(from.owner));
  to->set_size_bytes(from.size_bytes);
  to->set_ttl_left_ms(std::max<int64_t>(Millis(from.expiry - now).count(), 0));
}

template <typename Request>
std::string ReadPrefix(const Request& request) {
  return request.has_prefix_text() ? KeyFromText(request.prefix_text())
                                   : request.prefix();
}

}  // namespace

Admin::Admin(const NodeView* view, std::function<void()> begin_drain)
    : view_(view), begin_drain_(std::move(begin_drain)) {}

absl::Status Admin::Ping(const v1::PingRequest&, v1::PingResponse* response) const {
  response->set_node_name(view_->config->node_name);
  response->set_epoch(static_cast<uint64_t>(view_->epoch));
  response->set_uptime_ms(Millis(view_->clock->Now() - view_->started).count());
  return absl::OkStatus();
}

absl::Status Admin::Exists(const v1::ExistsRequest& request,
                           v1::ExistsResponse* response) const {
  const absl::StatusOr<std::vector<std::string>> keys = ReadKeys(request.keys());
  if (!keys.ok()) return keys.status();
  for (const std::string& key : *keys) {
    response->add_residencies(ToProto(view_->store->Probe(key)));
  }
  return absl::OkStatus();
}

absl::Status Admin::List(const v1::ListRequest& request,
                         v1::ListResponse* response) const {
  const absl::StatusOr<size_t> page_size = ReadPageSize(request.page_size());
  if (!page_size.ok()) return page_size.status();
  const absl::StatusOr<std::string> after = ReadPageToken(request.page_token());
  if (!after.ok()) return after.status();
  // One more than asked for tells whether there is another page.
  const std::vector<KeyInfo> found =
      view_->store->List(ReadPrefix(request), *after, *page_size + 1);
  size_t shown = 0, bytes = 0;
  while (shown < std::min(found.size(), *page_size) && bytes < kPageBytesMax) {
    v1::KeyInfo* const info = response->add_keys();
    FillKeyInfo(found[shown++], info);
    bytes += info->ByteSizeLong();
  }
  if (found.size() > shown) {
    response->set_next_page_token(absl::WebSafeBase64Escape(found[shown - 1].key));
  }
  return absl::OkStatus();
}

absl::Status Admin::Stat(const v1::StatRequest& request,
                         v1::StatResponse* response) const {
  const absl::StatusOr<std::string> key = ReadKey(request.name(), "name");
  if (!key.ok()) return key.status();
  const absl::StatusOr<KeyInfo> found = view_->store->Stat(*key);
  if (!found.ok()) return found.status();
  FillKeyInfo(*found, response->mutable_info());
  return absl::OkStatus();
}

absl::Status Admin::Pin(const v1::PinRequest& request, v1::PinResponse* response) const {
  const std::string owner = KeyFromText(request.owner());
  if (absl::Status valid = CheckOwner(owner); !valid.ok()) return valid;
  const milliseconds ttl(request.ttl_ms());
  if (ttl.count() == 0 || ttl > kMaxPinTtl) {
    return OverLimit(fmt::format("ttl_ms: {} asked, 1 to {} are allowed", ttl.count(),
                                 milliseconds(kMaxPinTtl).count()));
  }
  const absl::StatusOr<std::vector<std::string>> keys = ReadKeys(request.keys());
  if (!keys.ok()) return keys.status();
  if (view_->core->draining()) {
    return WithReason(absl::UnavailableError("pin: the node is draining"),
                      kReasonDraining);
  }
  const Instant expiry = view_->clock->Now() + ttl;
  for (const std::string& key : *keys) {
    absl::StatusOr<BlockRef> block = view_->store->Peek(key);
    response->add_outcomes(block.ok() ? v1::KEY_OUTCOME_OK : v1::KEY_OUTCOME_MISS);
    if (!block.ok()) continue;
    const absl::Status pinned =
        view_->leases->Pin(SessionId{}, owner, *std::move(block), expiry);
    if (!pinned.ok()) return pinned;
  }
  return absl::OkStatus();
}

absl::Status Admin::Unpin(const v1::UnpinRequest& request,
                          v1::UnpinResponse* response) const {
  const std::string owner = KeyFromText(request.owner());
  if (absl::Status valid = CheckOwner(owner); !valid.ok()) return valid;
  const absl::StatusOr<std::vector<std::string>> keys = ReadKeys(request.keys());
  if (!keys.ok()) return keys.status();
  const std::vector<std::string_view> views(keys->begin(), keys->end());
  const size_t unpinned = views.empty() ? view_->leases->Unpin(owner)
                                        : view_->leases->UnpinKeys(owner, views);
  response->set_unpinned_count(static_cast<uint32_t>(unpinned));
  return absl::OkStatus();
}

absl::Status Admin::ListPins(const v1::ListPinsRequest& request,
                             v1::ListPinsResponse* response) const {
  const absl::StatusOr<size_t> page_size = ReadPageSize(request.page_size());
  if (!page_size.ok()) return page_size.status();
  const auto after = ReadPinToken(request.page_token());
  if (!after.ok()) return after.status();
  const std::vector<LeaseTable::PinView> found =
      view_->leases->ListPins(after->first, after->second, *page_size + 1);
  const Instant now = view_->clock->Now();
  size_t shown = 0, bytes = 0;
  while (shown < std::min(found.size(), *page_size) && bytes < kPageBytesMax) {
    v1::PinInfo* const pin = response->add_pins();
    FillPinInfo(found[shown++], now, pin);
    bytes += pin->ByteSizeLong();
  }
  if (found.size() > shown) {
    response->set_next_page_token(
        JoinPinToken(found[shown - 1].owner, found[shown - 1].key));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<KeyRemoval>> Admin::RemoveKeys(
    const v1::RemoveKeysRequest& request, KeyRemoval::Done done) const {
  absl::StatusOr<std::vector<std::string>> keys = ReadKeys(request.keys());
  if (!keys.ok()) return keys.status();
  return std::make_unique<KeyRemoval>(view_->store, *std::move(keys), std::move(done));
}

absl::StatusOr<std::unique_ptr<Clearing>> Admin::Clear(const v1::ClearRequest& request,
                                                       Clearing::Options options) const {
  options.prefix = ReadPrefix(request);
  if (options.prefix.empty() && !request.all()) {
    return BadRequest("clear: without a prefix it removes every key; say all to do so");
  }
  return std::make_unique<Clearing>(view_->store, std::move(options));
}

absl::Status Admin::GetNodeInfo(const v1::GetNodeInfoRequest&,
                                v1::GetNodeInfoResponse* response) const {
  const Health health = view_->health();
  response->set_node_name(view_->config->node_name);
  response->set_epoch(static_cast<uint64_t>(view_->epoch));
  response->set_version(std::string(kVersion));
  response->set_uptime_ms(Millis(view_->clock->Now() - view_->started).count());
  response->set_health(health.state);
  for (const std::string& reason : health.reasons) response->add_health_reasons(reason);
  response->set_listen(view_->listen.ToString());
  response->set_data_listen(view_->data_listen.ToString());
  response->set_http_listen(view_->http_listen.ToString());
  for (const ServerTransport* transport : view_->transports) {
    response->add_transports(ToProto(transport->kind()));
  }
  response->set_memory_bytes(view_->region->bytes().size());
  response->set_page_kind(view_->region->page_kind());
  response->set_eviction_policy(
      std::string(EvictionPolicyName(view_->config->eviction_policy)));
  if (!view_->config->data_dir.empty()) {
    response->set_data_dir(view_->config->data_dir);
    response->set_write_policy(std::string(WritePolicyName(view_->config->write_policy)));
  }
  for (const KvCore::SessionView& session : view_->core->sessions()) {
    v1::SessionInfo* const info = response->add_sessions();
    info->set_session(session.session.ToString().substr(0, kSessionDigitsShown));
    info->set_client_name(session.client_name);
    info->set_pid(session.pid);
    info->set_lanes(static_cast<uint32_t>(session.lanes));
    info->set_leases(static_cast<uint32_t>(session.leases));
    info->set_age_ms(session.age.count());
    info->set_silent_ms(session.silent.count());
  }
  return absl::OkStatus();
}

absl::Status Admin::GetStats(const v1::GetStatsRequest&,
                             v1::GetStatsResponse* response) const {
  for (const auto& [name, value] : MetricsValues(CollectMetrics(view_->stats()))) {
    (*response->mutable_values())[name] = value;
  }
  return absl::OkStatus();
}

absl::Status Admin::Drain(const v1::DrainRequest&, v1::DrainResponse*) const {
  begin_drain_();
  return absl::OkStatus();
}

}  // namespace kvasir
