#ifndef KVASIR_CLIENT_OPTIONS_H_
#define KVASIR_CLIENT_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/durability.h"
#include "base/limits.h"

namespace kvasir {

// Which transports a client may use. kAuto: shm on one host, else rdma, else tcp.
// A named one fails closed: no other is tried.
enum class TransportChoice : uint8_t { kAuto, kRdma, kShm, kTcp };

struct ClientOptions {
  // "host:port" or "unix:path", or "name=" and one of them.
  std::vector<std::string> nodes;
  std::string client_name;                          // for people; default "pid <pid>"
  TransportChoice transport = TransportChoice::kAuto;
  std::chrono::milliseconds timeout{1000};          // default deadline of a call
  std::chrono::milliseconds connect_timeout{5000};
  bool connect_lazily = false;
  // For rdma: devices as /sys/class/infiniband names them, up to 4 with commas, each a rail
  // (empty: the first with an active port); their port (0: the first active); a row of an
  // Ethernet port's GID table (-1: the best).
  std::string rdma_device;
  uint32_t rdma_port = 0;
  int rdma_gid_index = -1;
  bool verify_checksums = true;
  size_t lanes_per_node = 4;                        // batches at once, 1 to 128
  // Staging for memory that is not registered: buffers each way. A wait for one is
  // bounded by the call's deadline.
  size_t staging_buffers = 16;
  uint64_t staging_buffer_bytes = 40 * 1000 * 1000;
};

// Options of one call. A timeout of nothing means ClientOptions::timeout.
struct CallOptions {
  std::optional<std::chrono::milliseconds> timeout = std::nullopt;
};

struct LookupOptions {
  std::optional<std::chrono::milliseconds> timeout = std::nullopt;
  std::string_view pin_owner = {};  // empty: do not pin
  std::chrono::milliseconds pin_ttl = kDefaultLeaseTtl;
  bool pin_all = false;  // pin every hit, not only those of the prefix
  bool promote = false;  // start to move hits from the node's disk to its memory
};

struct LookupResult {
  std::vector<bool> present;  // aligned with the keys
  std::vector<bool> on_disk;  // aligned too: hits that only the node's disk has
  size_t prefix_count = 0;    // hits before the first miss
  size_t pinned_count = 0;
};

struct GetOptions {
  std::optional<std::chrono::milliseconds> timeout = std::nullopt;
  // After the get, drop the pins of this owner on these keys.
  std::string_view unpin_owner = {};
};

struct PutOptions {
  std::optional<std::chrono::milliseconds> timeout = std::nullopt;
  bool replace = false;  // the last commit wins, instead of the first
  // What the block survives once the put is OK. ResourceExhausted if the node cannot
  // promise it, DeadlineExceeded if its disk took too long, Unavailable if the node went
  // away before its disk had it: after these two the block may be there.
  Durability durability = Durability::kNone;
};

// Totals since Connect, over all nodes.
struct ClientCounters {
  uint64_t hits = 0;
  uint64_t misses = 0;           // of which, by reason:
  uint64_t misses_absent = 0;    // the store does not have it
  uint64_t misses_late = 0;      // deadline
  uint64_t misses_checksum = 0;  // bytes did not verify
  uint64_t misses_size = 0;      // stored with another size than asked for
  uint64_t misses_node_down = 0;
  uint64_t misses_other = 0;
  uint64_t puts = 0;
  uint64_t put_failures = 0;
  uint64_t got_bytes_rdma = 0, got_bytes_shm = 0, got_bytes_tcp = 0;
  uint64_t put_bytes_rdma = 0, put_bytes_shm = 0, put_bytes_tcp = 0;
  uint64_t retries = 0;
  uint64_t reconnects = 0;
  uint64_t transport_fallbacks = 0;
  uint64_t staged_bytes = 0;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_OPTIONS_H_
