#include "tests/support/fake_admin_client.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/checksum.h"

namespace kvasir {

absl::Status FakeAdminClient::Begin() {
  ++state_->calls;
  return state_->failure;
}

v1::KeyInfo FakeAdminClient::InfoOf(const std::string& key) const {
  v1::KeyInfo info;
  const std::optional<FakeClient::Block> block = store_->Find(key);
  info.set_key(key);
  info.set_text(PrintableKey(key, SIZE_MAX));
  if (!block.has_value()) return info;
  info.set_size_bytes(block->bytes.size());
  info.set_checksum(BlockChecksum(ChecksumSeed(key), AsBytes(block->bytes)));
  info.set_attributes(block->attributes);
  info.set_residency(v1::RESIDENCY_MEMORY);
  return info;
}

absl::StatusOr<v1::PingResponse> FakeAdminClient::Ping(const v1::PingRequest& request) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  v1::PingResponse response;
  response.set_node_name(state_->info.node_name());
  response.set_epoch(state_->info.epoch());
  response.set_uptime_ms(state_->info.uptime_ms());
  return response;
}

absl::StatusOr<v1::ExistsResponse> FakeAdminClient::Exists(
    const v1::ExistsRequest& request) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  v1::ExistsResponse response;
  for (const v1::KeyName& name : request.keys()) {
    response.add_residencies(store_->Find(name.key()).has_value() ? v1::RESIDENCY_MEMORY
                                                                  : v1::RESIDENCY_ABSENT);
  }
  return response;
}

absl::StatusOr<v1::ListResponse> FakeAdminClient::List(const v1::ListRequest& request) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  const auto keys = store_->List(request.prefix(), SIZE_MAX, {});
  size_t at = request.page_token().empty() ? 0 : std::stoul(request.page_token());
  v1::ListResponse response;
  for (;
       at < keys->size() && response.keys_size() < static_cast<int>(request.page_size());
       ++at) {
    *response.add_keys() = InfoOf((*keys)[at]);
  }
  if (at < keys->size()) response.set_next_page_token(std::to_string(at));
  return response;
}

absl::StatusOr<v1::StatResponse> FakeAdminClient::Stat(const v1::StatRequest& request) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  const std::string& key = request.name().key();
  if (!store_->Find(key).has_value()) return absl::NotFoundError("stat: not stored");
  v1::StatResponse response;
  *response.mutable_info() = InfoOf(key);
  return response;
}

absl::StatusOr<v1::PinResponse> FakeAdminClient::Pin(const v1::PinRequest& request) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  v1::PinResponse response;
  for (const v1::KeyName& name : request.keys()) {
    const std::optional<FakeClient::Block> block = store_->Find(name.key());
    response.add_outcomes(block.has_value() ? v1::KEY_OUTCOME_OK : v1::KEY_OUTCOME_MISS);
    if (!block.has_value()) continue;
    v1::PinInfo& pin = state_->pins.emplace_back();
    pin.set_key(name.key());
    pin.set_owner(request.owner());
    pin.set_size_bytes(block->bytes.size());
    pin.set_ttl_left_ms(request.ttl_ms());
  }
  return response;
}

absl::StatusOr<v1::UnpinResponse> FakeAdminClient::Unpin(
    const v1::UnpinRequest& request) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  const size_t dropped = std::erase_if(state_->pins, [&request](const v1::PinInfo& pin) {
    const bool named =
        std::any_of(request.keys().begin(), request.keys().end(),
                    [&pin](const auto& name) { return name.key() == pin.key(); });
    return pin.owner() == request.owner() && (request.keys().empty() || named);
  });
  v1::UnpinResponse response;
  response.set_unpinned_count(static_cast<uint32_t>(dropped));
  return response;
}

absl::StatusOr<v1::ListPinsResponse> FakeAdminClient::ListPins(
    const v1::ListPinsRequest& request) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  const size_t at = request.page_token().empty() ? 0 : std::stoul(request.page_token());
  v1::ListPinsResponse response;
  if (at < state_->pins.size()) *response.add_pins() = state_->pins[at];
  if (at + 1 < state_->pins.size()) response.set_next_page_token(std::to_string(at + 1));
  return response;
}

absl::StatusOr<v1::RemoveKeysResponse> FakeAdminClient::Remove(
    const v1::RemoveKeysRequest& request) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  v1::RemoveKeysResponse response;
  for (const v1::KeyName& name : request.keys()) {
    const std::string_view key = name.key();
    const bool removed = store_->Remove(std::span(&key, 1), {}).front().ok();
    response.add_outcomes(removed ? v1::KEY_OUTCOME_OK : v1::KEY_OUTCOME_MISS);
  }
  return response;
}

absl::StatusOr<v1::ClearResponse> FakeAdminClient::Clear(
    const v1::ClearRequest& request) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  if (request.prefix().empty() && !request.all()) {
    return absl::InvalidArgumentError("clear: every key needs `all`");
  }
  const auto keys = store_->List(request.prefix(), SIZE_MAX, {});
  const std::vector<std::string_view> views(keys->begin(), keys->end());
  store_->Remove(views, {});
  v1::ClearResponse response;
  response.set_removed_count(views.size());
  return response;
}

absl::StatusOr<v1::GetNodeInfoResponse> FakeAdminClient::GetNodeInfo(
    const v1::GetNodeInfoRequest& request) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  return state_->info;
}

absl::StatusOr<v1::GetStatsResponse> FakeAdminClient::GetStats(
    const v1::GetStatsRequest& request) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  return state_->stats;
}

absl::StatusOr<v1::DrainResponse> FakeAdminClient::Drain(
    const v1::DrainRequest& request) {
  if (absl::Status status = Begin(); !status.ok()) return status;
  state_->drained = true;
  return v1::DrainResponse();
}

}  // namespace kvasir
