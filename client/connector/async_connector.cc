#include "client/connector/async_connector.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using Statuses = std::vector<absl::Status>;

absl::Status Miss() { return absl::NotFoundError("get: not stored"); }

// Keys of an operation, which outlive the call that submitted it.
class OwnedKeys {
 public:
  explicit OwnedKeys(std::span<const std::string_view> keys)
      : keys_(keys.begin(), keys.end()) {}
  size_t size() const { return keys_.size(); }
  // Made anew each time: short strings move with the object.
  std::vector<std::string_view> views() const { return {keys_.begin(), keys_.end()}; }

 private:
  std::vector<std::string> keys_;
};

struct OwnedPut {
  std::string key;
  std::vector<std::span<const std::byte>> payload;
  std::string attributes;
};

std::vector<OwnedPut> Own(std::span<const PutItem> items) {
  std::vector<OwnedPut> owned;
  for (const PutItem& item : items) {
    owned.push_back({std::string(item.key),
                     {item.payload.begin(), item.payload.end()},
                     std::string(item.attributes)});
  }
  return owned;
}

Statuses Prefix(size_t hits, size_t keys) {
  Statuses statuses(keys);
  std::fill(statuses.begin() + static_cast<ptrdiff_t>(hits), statuses.end(), Miss());
  return statuses;
}

AsyncClient::SubmitOptions WithPriority(AsyncClient::SubmitOptions options,
                                        Priority priority) {
  if (!options.priority.has_value()) options.priority = priority;
  return options;
}

}  // namespace

absl::StatusOr<OperationId> AsyncConnector::SubmitContains(
    const Connector::PinnedLookup& lookup, std::span<const std::string_view> keys,
    const SubmitOptions& options) {
  auto run = [connector = connector_, id = std::string(lookup.lookup_id),
              pin = lookup.pin, owned = OwnedKeys(keys)](milliseconds left) {
    const std::vector<std::string_view> views = owned.views();
    return Prefix(connector->BatchedAsyncContains({id, pin}, views, {.timeout = left}),
                  views.size());
  };
  return async_->Submit(keys.size(), std::move(run), Miss(),
                        WithPriority(options, Priority::kPeek));
}

absl::StatusOr<OperationId> AsyncConnector::SubmitGet(
    std::span<const std::string_view> keys, ObjectAllocator* allocator,
    const SubmitOptions& options) {
  auto run = [connector = connector_, allocator,
              owned = OwnedKeys(keys)](milliseconds left) {
    Statuses statuses;
    for (const auto& object :
         connector->BatchedGet(owned.views(), *allocator, {.timeout = left})) {
      statuses.push_back(object.has_value() ? absl::OkStatus() : Miss());
    }
    return statuses;
  };
  return async_->Submit(keys.size(), std::move(run), Miss(),
                        WithPriority(options, Priority::kGet));
}

absl::StatusOr<OperationId> AsyncConnector::SubmitGetPrefix(
    std::string_view lookup_id, std::span<const std::string_view> keys,
    ObjectAllocator* allocator, const SubmitOptions& options) {
  auto run = [connector = connector_, id = std::string(lookup_id), allocator,
              owned = OwnedKeys(keys)](milliseconds left) {
    const auto objects = connector->BatchedGetNonBlocking(id, owned.views(), *allocator,
                                                          {.timeout = left});
    return Prefix(objects.size(), owned.size());
  };
  return async_->Submit(keys.size(), std::move(run), Miss(),
                        WithPriority(options, Priority::kPrefetch));
}

absl::StatusOr<OperationId> AsyncConnector::SubmitPut(std::span<const PutItem> items,
                                                      const SubmitOptions& options) {
  auto run = [connector = connector_, owned = Own(items)](milliseconds left) {
    std::vector<PutItem> views;
    for (const OwnedPut& put : owned)
      views.push_back({put.key, put.payload, put.attributes});
    return connector->BatchedPut(views, {.timeout = left});
  };
  return async_->Submit(
      items.size(), std::move(run),
      absl::DeadlineExceededError("put: its time was up before it began"),
      WithPriority(options, Priority::kPut));
}

}  // namespace kvasir
