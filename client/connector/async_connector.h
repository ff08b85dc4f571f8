#ifndef KVASIR_CLIENT_CONNECTOR_ASYNC_CONNECTOR_H_
#define KVASIR_CLIENT_CONNECTOR_ASYNC_CONNECTOR_H_

#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/async_client.h"
#include "client/connector/connector.h"

// The connector for callers that may not wait, such as an engine's event loop: each
// Submit returns at once with an operation id, and the operation's completion, exactly
// one, is drained from the AsyncClient when its descriptor is readable. Waiting
// operations go by priority: lookups, then prefetches, gets, puts.
//
// Results are one status a key, so a batch of puts can tell each key's fate. Keys, the
// lookup_id and lists of slices are copied; payloads and the allocator must live until
// the completion is drained. An operation whose time is up before it runs completes as
// misses, having allocated nothing.
//
// Threads: thread-safe. Neither argument is owned; both must outlive the object, and the
// connector every operation: Close the AsyncClient first.
namespace kvasir {

class AsyncConnector {
 public:
  using SubmitOptions = AsyncClient::SubmitOptions;

  AsyncConnector(Connector* connector, AsyncClient* async)
      : connector_(connector), async_(async) {}

  // Errors of every Submit: see AsyncClient::SubmitGet.

  // The results are OK for the hits before the first miss, NotFound for the rest.
  absl::StatusOr<OperationId> SubmitContains(const Connector::PinnedLookup& lookup,
                                             std::span<const std::string_view> keys,
                                             const SubmitOptions& options = {});
  // OK where `allocator` was asked for memory for that index and keeps it with the block
  // in it; what it gave for the others has been released.
  absl::StatusOr<OperationId> SubmitGet(std::span<const std::string_view> keys,
                                        ObjectAllocator* allocator,
                                        const SubmitOptions& options = {});
  // The same for the blocks before the first miss only; consumes the pins of lookup_id.
  absl::StatusOr<OperationId> SubmitGetPrefix(std::string_view lookup_id,
                                              std::span<const std::string_view> keys,
                                              ObjectAllocator* allocator,
                                              const SubmitOptions& options = {});
  // As Connector::BatchedPut.
  absl::StatusOr<OperationId> SubmitPut(std::span<const PutItem> items,
                                        const SubmitOptions& options = {});

 private:
  Connector* const connector_;
  AsyncClient* const async_;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CONNECTOR_ASYNC_CONNECTOR_H_
