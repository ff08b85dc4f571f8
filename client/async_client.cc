#include "client/async_client.h"

#include <string>
#include <utility>

#include "base/check.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

// Copies of keys and slice lists, which the caller need not keep. Items point into it, so
// it stays where it is.
template <typename Slice>
struct Batch {
  std::string text;  // all keys and attributes, one after the other
  std::vector<std::span<Slice>> slices;

  // Room for everything first: what points here may not move.
  Batch(size_t text_bytes, size_t slice_count) {
    text.reserve(text_bytes);
    slices.reserve(slice_count);
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  std::string_view Keep(std::string_view piece) {
    const size_t at = text.size();
    text.append(piece);
    return std::string_view(text).substr(at, piece.size());
  }
  std::span<const std::span<Slice>> Keep(std::span<const std::span<Slice>> list) {
    const size_t at = slices.size();
    slices.insert(slices.end(), list.begin(), list.end());
    return std::span<const std::span<Slice>>(slices).subspan(at, list.size());
  }
};

struct GetBatch : Batch<std::byte> {
  using Batch::Batch;
  std::vector<GetItem> items;
};

struct PutBatch : Batch<const std::byte> {
  using Batch::Batch;
  std::vector<PutItem> items;
};

struct KeyBatch : Batch<std::byte> {
  using Batch::Batch;
  std::vector<std::string_view> keys;
};

std::unique_ptr<GetBatch> CopyOf(std::span<const GetItem> items) {
  size_t text = 0;
  size_t slices = 0;
  for (const GetItem& item : items) {
    text += item.key.size();
    slices += item.into.size();
  }
  auto batch = std::make_unique<GetBatch>(text, slices);
  for (const GetItem& item : items) {
    batch->items.push_back({batch->Keep(item.key), batch->Keep(item.into)});
  }
  return batch;
}

std::unique_ptr<PutBatch> CopyOf(std::span<const PutItem> items) {
  size_t text = 0;
  size_t slices = 0;
  for (const PutItem& item : items) {
    text += item.key.size() + item.attributes.size();
    slices += item.payload.size();
  }
  auto batch = std::make_unique<PutBatch>(text, slices);
  for (const PutItem& item : items) {
    batch->items.push_back(
        {batch->Keep(item.key), batch->Keep(item.payload), batch->Keep(item.attributes)});
  }
  return batch;
}

std::unique_ptr<KeyBatch> CopyOf(std::span<const std::string_view> keys) {
  size_t text = 0;
  for (const std::string_view key : keys) text += key.size();
  auto batch = std::make_unique<KeyBatch>(text, 0);
  for (const std::string_view key : keys) batch->keys.push_back(batch->Keep(key));
  return batch;
}

AsyncClient::SubmitOptions WithDefault(AsyncClient::SubmitOptions options, Priority priority) {
  if (!options.priority.has_value()) options.priority = priority;
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AsyncClient>> AsyncClient::Create(Client* client,
                                                                 const Options& options) {
  if (options.threads == 0 || options.waiting_max == 0 || options.timeout.count() <= 0) {
    return absl::InvalidArgumentError("make async client: a bound is zero");
  }
  std::unique_ptr<AsyncClient> async(new AsyncClient(client, options));
  absl::StatusOr<std::unique_ptr<AsyncQueue>> queue =
      AsyncQueue::Create({.threads = options.threads, .waiting_max = options.waiting_max},
                         async->pool_.get(), Clock::Real());
  if (!queue.ok()) return queue.status();
  async->queue_ = *std::move(queue);
  async->expiry_ = std::make_unique<Ticker>(
      "kvasir-expiry", kExpiryStep, [queue = async->queue_.get()] { queue->ExpireDue(); });
  return async;
}

AsyncClient::AsyncClient(Client* client, const Options& options)
    : client_(client),
      options_(options),
      pool_(std::make_unique<ThreadPool>(ThreadPool::Options{
          .name = "kvasir-async",
          .threads = options.threads,
          .queue_tasks_max = options.threads,
      })) {}

AsyncClient::~AsyncClient() {
  expiry_.reset();
  queue_.reset();
}

absl::StatusOr<OperationId> AsyncClient::Submit(
    size_t keys, absl::AnyInvocable<std::vector<absl::Status>(milliseconds left)> run,
    absl::Status late_result, const SubmitOptions& options) {
  KV_CHECK(options.priority.has_value());
  if (keys == 0) return absl::InvalidArgumentError("submit: there are no keys");
  return queue_->Submit({.priority = *options.priority,
                         .deadline = Clock::Real()->Now() +
                                     options.timeout.value_or(options_.timeout),
                         .keys = keys,
                         .run = std::move(run),
                         .late_result = std::move(late_result)});
}

absl::StatusOr<OperationId> AsyncClient::SubmitGet(std::span<const GetItem> items,
                                                   const SubmitOptions& options) {
  return Submit(
      items.size(),
      [client = client_, batch = CopyOf(items)](milliseconds left) {
        return client->Get(batch->items, {.timeout = left});
      },
      absl::NotFoundError("get: too late"), WithDefault(options, Priority::kGet));
}

absl::StatusOr<OperationId> AsyncClient::SubmitPut(std::span<const PutItem> items,
                                                   const SubmitOptions& options) {
  return Submit(
      items.size(),
      [client = client_, batch = CopyOf(items), replace = options.replace,
       durability = options.durability](milliseconds left) {
        return client->Put(
            batch->items,
            {.timeout = left, .replace = replace, .durability = durability});
      },
      absl::DeadlineExceededError("put: too late"), WithDefault(options, Priority::kPut));
}

absl::StatusOr<OperationId> AsyncClient::SubmitExists(std::span<const std::string_view> keys,
                                                      const SubmitOptions& options) {
  return Submit(
      keys.size(),
      [client = client_, batch = CopyOf(keys)](milliseconds left) {
        const LookupResult found = client->Lookup(batch->keys, {.timeout = left});
        std::vector<absl::Status> results;
        for (const bool present : found.present) {
          results.push_back(present ? absl::OkStatus() : absl::NotFoundError(""));
        }
        return results;
      },
      absl::NotFoundError("exists: too late"), WithDefault(options, Priority::kPeek));
}

absl::StatusOr<OperationId> AsyncClient::SubmitRemove(std::span<const std::string_view> keys,
                                                      const SubmitOptions& options) {
  return Submit(
      keys.size(),
      [client = client_, batch = CopyOf(keys)](milliseconds left) {
        return client->Remove(batch->keys, {.timeout = left});
      },
      absl::DeadlineExceededError("remove: too late"), WithDefault(options, Priority::kPut));
}

}  // namespace kvasir
