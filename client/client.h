#ifndef KVASIR_CLIENT_CLIENT_H_
#define KVASIR_CLIENT_CLIENT_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/options.h"

// The public face of Kvasir.
//
//   absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect({.nodes = {"h:7450"}});
//   auto memory = (*client)->Register(pool);               // once: it is slow
//   std::vector<absl::Status> put = (*client)->Put(items, {});
//   std::vector<absl::Status> got = (*client)->Get(slices, {});
//
// Batched, blocking, thread-safe. Every batch call returns one status per key, in the
// order of the keys, and every call has a deadline. A miss is NotFound, and so is
// whatever went wrong on the way to a block: the caller recomputes it either way, and
// counters() tells the reasons apart. Wrong bytes are never returned as a hit: every
// block is checked against its writer's checksum unless verify_checksums is off.
//
// Ownership: memory is the caller's; MemoryHandle keeps a registration. A buffer passed
// to Get or Put is not touched after the call returns, whatever it returns.
// Bounds: at most kMaxKeysPerCall keys go into one request; longer batches are split.
namespace kvasir {

// Keeps a range of the caller's memory usable by every transport without copies.
// The memory must outlive the handle, and the handle every call that uses the memory.
class MemoryHandle {
 public:
  virtual ~MemoryHandle() = default;
  virtual std::span<std::byte> bytes() const = 0;
};

// A block to fetch into slices whose sizes add up to exactly the block's size; another
// size is a miss.
struct GetItem {
  std::string_view key;
  std::span<const std::span<std::byte>> into;
};

// A granted block looking for somewhere to land.
struct Landing {
  size_t index = 0;  // position in the keys passed to Get
  uint64_t size_bytes = 0;
  std::string_view attributes;  // as given by the writer
  // Set by the sink: exactly size_bytes long; empty skips the block (NotFound).
  std::span<std::byte> local;
};

// Chooses destinations once sizes are known. Place is called on Get's own thread(s), one
// at a time, at most once for each key; keys that miss are not offered.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void Place(std::span<Landing> landings) = 0;
};

struct PutItem {
  std::string_view key;
  std::span<const std::span<const std::byte>> payload;  // scatter list, in order
  std::string_view attributes;
};

class Client {
 public:
  // Connects to the nodes. InvalidArgument for options that make no sense; Unavailable
  // if no node answers within options.connect_timeout, and FailedPrecondition if nodes
  // answer but options.transport works with none of them, unless
  // options.connect_lazily: then calls miss until a node answers. A client that has
  // connected once never fails for that reason again: it misses and reconnects itself.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options);

  virtual ~Client() = default;  // Close()

  // Makes `memory` usable without copies by every node's transport.
  virtual absl::StatusOr<std::unique_ptr<MemoryHandle>> Register(
      std::span<std::byte> memory) = 0;

  // Which keys are stored. An unreachable node's keys are absent.
  virtual LookupResult Lookup(std::span<const std::string_view> keys,
                              const LookupOptions& options) = 0;
  // The same as a plain answer for one key.
  bool Exists(std::string_view key, const CallOptions& options) {
    return Lookup(std::span(&key, 1), {.timeout = options.timeout}).prefix_count == 1;
  }

  // statuses[n] aligned with items[n]: OK or NotFound (InvalidArgument for a key that
  // breaks a limit). Memory outside any registration is staged through a bounded pool.
  virtual std::vector<absl::Status> Get(std::span<const GetItem> items,
                                        const GetOptions& options) = 0;
  virtual std::vector<absl::Status> Get(std::span<const std::string_view> keys, Sink& sink,
                                        const GetOptions& options) = 0;

  // statuses[n]: OK; AlreadyExists if it was stored before (and not `replace`), and is as
  // durable as asked; Aborted
  // if another client is writing it now; ResourceExhausted if the node is full;
  // Unavailable, DeadlineExceeded; InvalidArgument for a key, size or attributes that
  // break a limit, or a key that stands twice in the batch.
  virtual std::vector<absl::Status> Put(std::span<const PutItem> items,
                                        const PutOptions& options) = 0;

  // Pins what is stored of `keys` for `owner`, in memory, for `ttl` (at most kMaxPinTtl) or
  // as long as this client lives. OK or NotFound; ResourceExhausted if the node holds no
  // more pins; Unavailable, DeadlineExceeded.
  virtual std::vector<absl::Status> Pin(std::span<const std::string_view> keys,
                                        std::string_view owner, std::chrono::milliseconds ttl,
                                        const CallOptions& options) = 0;
  // Drops every pin of `owner` that this client made. Idempotent.
  virtual absl::Status Unpin(std::string_view owner, const CallOptions& options) = 0;

  // OK or NotFound.
  virtual std::vector<absl::Status> Remove(std::span<const std::string_view> keys,
                                           const CallOptions& options) = 0;
  // Every stored key with `prefix`, in byte order, at most `limit`.
  virtual absl::StatusOr<std::vector<std::string>> List(std::string_view prefix, size_t limit,
                                                        const CallOptions& options) = 0;
  // One status per node, in the order of options.nodes. OK: it answers and there is a
  // session with it.
  virtual std::vector<absl::Status> Ping(const CallOptions& options) = 0;
  // Each node's counters and gauges by name, as its /metrics shows them.
  virtual absl::StatusOr<std::vector<std::map<std::string, double>>> Stats(
      const CallOptions& options) = 0;

  // What this client has done, since Connect.
  virtual ClientCounters counters() const = 0;
  // The transport in use to each node; nothing while it is not connected.
  virtual std::vector<std::optional<std::string>> transports() const = 0;

  // Ends sessions and frees resources. Calls under way return; later ones miss.
  virtual void Close() = 0;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLIENT_H_
