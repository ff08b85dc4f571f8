#ifndef KVASIR_CLIENT_CONNECTOR_CONNECTOR_H_
#define KVASIR_CLIENT_CONNECTOR_CONNECTOR_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/durability.h"
#include "base/limits.h"
#include "client/client.h"

// The batched methods that LMCache asks of a remote connector, in C++.
//
// Keys are opaque bytes of any length (client/connector/storage_key.h). A value carries
// attributes: whatever a fresh process needs to rebuild the tensor, such as its shape
// header. Whatever goes wrong on the way to a block makes it a miss and is counted;
// nothing throws, nothing waits beyond the deadline, and nothing needs a server to
// start with.
//
// Threads: thread-safe; every method blocks the caller until its deadline at most, which
//          is the sooner of `call` and ConnectorOptions, else the client's.
//          AsyncConnector has the forms that do not block.
namespace kvasir {

// The engine's memory for blocks that are about to arrive. Called from the thread of the
// get (or its client's threads), one call at a time within one get.
class ObjectAllocator {
 public:
  virtual ~ObjectAllocator() = default;
  // Memory of exactly `size_bytes` for keys[index]. Empty: there is none now, which
  // makes the block a miss. Must not wait for memory: what would free it may be waiting
  // behind this very get.
  virtual std::span<std::byte> Allocate(size_t index, uint64_t size_bytes,
                                        std::string_view attributes) = 0;
  // Takes back what Allocate gave for keys[index] and the get does not return as a hit.
  // Exactly once for each; nothing touches the memory any more.
  virtual void Release(size_t index, std::span<std::byte> memory) = 0;
};

// A block in the engine's memory, which the caller now owns.
struct ConnectorObject {
  std::span<std::byte> bytes;
  std::string attributes;
};

struct ConnectorOptions {
  // Deadlines by kind of call. Nothing: the client's own.
  std::optional<std::chrono::milliseconds> lookup_timeout;
  std::optional<std::chrono::milliseconds> get_timeout;
  std::optional<std::chrono::milliseconds> put_timeout;
  // What the blocks that this connector stores survive once their put is OK. Such a put
  // waits for the node's disk: put_timeout must leave it the time. One that is stored
  // already is made as durable.
  Durability durability = Durability::kNone;
  // How long the pins of a lookup_id last if no get consumes them.
  std::chrono::milliseconds pin_ttl{30'000};
  // A contains without a lookup_id holds its hits for this long, so that the get which
  // follows finds them. 0: it does not.
  std::chrono::milliseconds contains_lease = kDefaultLeaseTtl;
};

// Totals since the start.
struct ConnectorCounters {
  uint64_t hits = 0;
  uint64_t misses = 0;
  uint64_t allocation_failures = 0;  // of the misses: Allocate had no memory
  uint64_t released_after_miss = 0;  // fetched behind a hole and given back
  uint64_t puts = 0;                 // stored by us
  uint64_t puts_present = 0;         // stored or being stored by another: success
  uint64_t put_failures = 0;
};

class Connector {
 public:
  // Connects in the background: OK without a server, InvalidArgument for options that
  // make no sense. Calls miss until a node answers.
  static absl::StatusOr<std::unique_ptr<Connector>> Open(ClientOptions client_options,
                                                         const ConnectorOptions& options);

  Connector(std::unique_ptr<Client> client, const ConnectorOptions& options);
  ~Connector();  // Close()

  // Registers the engine's pool, so that blocks move without copies. See Client.
  absl::StatusOr<std::unique_ptr<MemoryHandle>> Register(std::span<std::byte> memory);

  // Whether the key is stored. One round trip, like every lookup below.
  bool ExistsSync(std::string_view key);
  // Hits before the first miss.
  size_t BatchedContains(std::span<const std::string_view> keys);
  // The same for each key, holes included, aligned with the keys.
  std::vector<bool> BatchedContainsBitmap(std::span<const std::string_view> keys);
  // BatchedContains, and with `pin` the prefix stays in memory for `lookup_id` until
  // BatchedGetNonBlocking of the same lookup_id, Unpin, or pin_ttl.
  struct PinnedLookup {
    std::string_view lookup_id;
    bool pin = false;
  };
  size_t BatchedAsyncContains(const PinnedLookup& lookup,
                              std::span<const std::string_view> keys,
                              const CallOptions& call = {});
  // Drops the pins of a lookup whose get will not come. Idempotent.
  absl::Status Unpin(std::string_view lookup_id);

  std::optional<ConnectorObject> Get(std::string_view key, ObjectAllocator& allocator);
  // Aligned with the keys; nothing where the key missed.
  std::vector<std::optional<ConnectorObject>> BatchedGet(
      std::span<const std::string_view> keys, ObjectAllocator& allocator,
      const CallOptions& call = {});
  // The blocks before the first miss, and no others: what arrived behind it has been
  // given back. Consumes the pins that `lookup_id` has on these keys.
  std::vector<ConnectorObject> BatchedGetNonBlocking(
      std::string_view lookup_id, std::span<const std::string_view> keys,
      ObjectAllocator& allocator, const CallOptions& call = {});
  // Into memory chosen before: true only where a block of exactly that size arrived.
  std::vector<bool> BatchedGetInto(std::span<const GetItem> items);

  // OK also if the key is stored already or another is storing it now: blocks of one key
  // are the same bytes. With durability the latter is Aborted. Otherwise as Client::Put.
  absl::Status Put(const PutItem& item);
  // Aligned with the items. Of a key that stands twice the first item is stored.
  std::vector<absl::Status> BatchedPut(std::span<const PutItem> items,
                                       const CallOptions& call = {});

  // OK or NotFound.
  absl::Status Remove(std::string_view key);
  // Every stored key with `prefix`, in byte order, at most `limit`; without those that
  // are stored under a stand-in, which cannot be turned back.
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix, size_t limit);
  // OK if any node answers, for then the others' keys are mere misses; else Unavailable,
  // naming what each said.
  absl::Status Ping();
  // Calls under way return, later ones miss. Idempotent.
  void Close();

  ConnectorCounters counters() const;
  Client& client() { return *client_; }

 private:
  struct Pinning {
    std::string_view owner;
    std::chrono::milliseconds ttl{0};  // 0: no pin
    bool all = false;                  // every hit, not only those of the prefix
  };
  LookupResult Look(std::span<const std::string_view> keys, const Pinning& pinning,
                    const CallOptions& call);
  Pinning ContainsLease(bool all) const;
  std::vector<std::optional<ConnectorObject>> Fetch(
      std::span<const std::string_view> keys, ObjectAllocator& allocator,
      std::string_view pin_owner, const CallOptions& call);

  const std::unique_ptr<Client> client_;
  const ConnectorOptions options_;
  const std::string contains_owner_;  // of the leases of contains; ours alone

  // Plain totals: nothing is ordered by them.
  std::atomic<uint64_t> hits_ = 0, misses_ = 0, allocation_failures_ = 0;
  std::atomic<uint64_t> released_after_miss_ = 0;
  std::atomic<uint64_t> puts_ = 0, puts_present_ = 0, put_failures_ = 0;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CONNECTOR_CONNECTOR_H_
