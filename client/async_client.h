#ifndef KVASIR_CLIENT_ASYNC_CLIENT_H_
#define KVASIR_CLIENT_ASYNC_CLIENT_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/durability.h"
#include "base/executor.h"
#include "client/async_queue.h"
#include "client/client.h"

// A Client for callers that may not wait: submit, poll a descriptor, drain.
//
//   auto async = AsyncClient::Create(client.get(), {});
//   auto id = (*async)->SubmitGet(items, {});
//   poll((*async)->event_fd()) ...
//   for (const Completion& done : (*async)->Drain()) ...
//
// Every operation that Submit* took completes exactly once, at most kExpiryStep after its
// deadline, also if no node was ever reached. Submit* neither blocks nor does I/O. Keys and
// lists of slices are copied; the memory that slices name stays the caller's, must live
// until the completion is drained, and is not touched once the operation has completed.
// After Close nothing completes any more, and no memory is touched.
//
// Thread-safe.
namespace kvasir {

class AsyncClient {
 public:
  struct Options {
    // Operations that run at once; each uses a lane a node, so a client should have as
    // many.
    size_t threads = 4;
    // Operations that wait; Submit* refuses more.
    size_t waiting_max = 4'096;
    // Of an operation that names none.
    std::chrono::milliseconds timeout{1'000};
  };
  struct SubmitOptions {
    std::optional<std::chrono::milliseconds> timeout = std::nullopt;
    // Nothing: kPeek for exists, kGet for gets, kPut for puts and removes.
    std::optional<Priority> priority = std::nullopt;
    bool replace = false;  // puts only: the last commit wins
    Durability durability = Durability::kNone;  // puts only
  };
  // How late a completion may come after its deadline.
  static constexpr std::chrono::milliseconds kExpiryStep{20};

  // `client` must outlive the object. An error if there is no descriptor to be had.
  static absl::StatusOr<std::unique_ptr<AsyncClient>> Create(Client* client,
                                                             const Options& options);
  ~AsyncClient();  // Close()

  // InvalidArgument for an empty batch; ResourceExhausted if too many wait;
  // FailedPrecondition once closed. Nothing was submitted then. The results of the
  // completion are those of Client::Get, Put and Remove; OK or NotFound for exists.
  absl::StatusOr<OperationId> SubmitGet(std::span<const GetItem> items,
                                        const SubmitOptions& options);
  absl::StatusOr<OperationId> SubmitPut(std::span<const PutItem> items,
                                        const SubmitOptions& options);
  absl::StatusOr<OperationId> SubmitExists(std::span<const std::string_view> keys,
                                           const SubmitOptions& options);
  absl::StatusOr<OperationId> SubmitRemove(std::span<const std::string_view> keys,
                                           const SubmitOptions& options);
  // Anything else that blocks: `run` gets the time that is left and returns one status a
  // key; `late_result` is every key's if it never runs. REQUIRES: a priority.
  absl::StatusOr<OperationId> Submit(
      size_t keys,
      absl::AnyInvocable<std::vector<absl::Status>(std::chrono::milliseconds left)> run,
      absl::Status late_result, const SubmitOptions& options);

  // Level-triggered: readable until drained. -1 once closed.
  int event_fd() const { return queue_->event_fd(); }
  std::vector<Completion> Drain() { return queue_->Drain(); }

  // Drops what waits and waits for what runs, which ends by its deadline, or at once if
  // the client was closed before. Idempotent.
  void Close() { queue_->Close(); }

 private:
  AsyncClient(Client* client, const Options& options);

  Client* const client_;
  const Options options_;
  // The queue's Close lets the threads come to rest before the pool joins them.
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<AsyncQueue> queue_;
  std::unique_ptr<Ticker> expiry_;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_ASYNC_CLIENT_H_
