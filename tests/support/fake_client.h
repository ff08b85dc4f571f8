#ifndef KVASIR_TESTS_SUPPORT_FAKE_CLIENT_H_
#define KVASIR_TESTS_SUPPORT_FAKE_CLIENT_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/client.h"

namespace kvasir {

// A Client over a map in this process, with the rules of client.h: exact sizes, first
// writer wins, limits, pins by owner. Faults are set from outside. Thread-safe.
class FakeClient final : public Client {
 public:
  struct Block {
    std::string bytes;
    std::string attributes;
  };
  struct Calls {
    size_t lookups = 0, gets = 0, puts = 0, registrations = 0, closes = 0;
    // Of the last call of each kind.
    std::optional<std::chrono::milliseconds> lookup_timeout, get_timeout, put_timeout;
    std::chrono::milliseconds pin_ttl{0};
    Durability durability = Durability::kNone;
  };

  ~FakeClient() override { Close(); }

  // Faults.
  // No node answers: lookups and gets miss, the rest is Unavailable.
  void SetDown(bool down);
  // Lookup keeps promising the key; Get does not offer it to the sink.
  void LoseAtGet(std::string_view key);
  // Get offers the key to the sink, writes half of it, and misses.
  void FailInFlight(std::string_view key);
  // Get returns it as a hit with one bit of the byte at `offset` flipped.
  void FlipBit(std::string_view key, size_t offset);
  // Get returns it as a hit without having written a byte.
  void PretendToGet(std::string_view key);
  // Put answers `status` for the key, or for every key if it is empty.
  void FailPut(std::string_view key, absl::Status status);
  // Lookup finds the key on the node's disk; a get brings it to memory.
  void MoveToDisk(std::string_view key);
  // Keeps the newest `blocks` blocks only.
  void SetCapacity(size_t blocks);

  // What the store holds.
  void Insert(std::string_view key, Block block);
  std::optional<Block> Find(std::string_view key) const;
  size_t size() const;
  Calls calls() const;
  // Keys that `owner` pins now.
  std::set<std::string> pins(std::string_view owner) const;
  // Every owner with a pin.
  std::set<std::string> pin_owners() const;
  size_t live_registrations() const;

  // Client.
  absl::StatusOr<std::unique_ptr<MemoryHandle>> Register(
      std::span<std::byte> memory) override;
  LookupResult Lookup(std::span<const std::string_view> keys,
                      const LookupOptions& options) override;
  std::vector<absl::Status> Get(std::span<const GetItem> items,
                                const GetOptions& options) override;
  std::vector<absl::Status> Get(std::span<const std::string_view> keys, Sink& sink,
                                const GetOptions& options) override;
  std::vector<absl::Status> Put(std::span<const PutItem> items,
                                const PutOptions& options) override;
  std::vector<absl::Status> Pin(std::span<const std::string_view> keys,
                                std::string_view owner, std::chrono::milliseconds ttl,
                                const CallOptions& options) override;
  absl::Status Unpin(std::string_view owner, const CallOptions& options) override;
  std::vector<absl::Status> Remove(std::span<const std::string_view> keys,
                                   const CallOptions& options) override;
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix, size_t limit,
                                                const CallOptions& options) override;
  std::vector<absl::Status> Ping(const CallOptions& options) override;
  absl::StatusOr<std::vector<std::map<std::string, double>>> Stats(
      const CallOptions& options) override;
  ClientCounters counters() const override;
  std::vector<std::optional<std::string>> transports() const override;
  void Close() override;

 private:
  class Handle;
  enum class Fault { kLost, kInFlight, kFlipped, kPretended };
  struct Faulted {
    Fault fault;
    size_t offset = 0;
  };

  bool unreachable() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return down_ || closed_; }
  // What a get of `key` can take; null is a miss.
  const Block* Readable(std::string_view key) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  absl::Status Deliver(std::string_view key, const Block& block,
                       std::span<const std::span<std::byte>> into)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status PutOne(const PutItem& item, const PutOptions& options)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Store(std::string_view key, Block block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropPins(std::string_view owner, std::span<const std::string_view> keys)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  bool down_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  size_t capacity_ ABSL_GUARDED_BY(mu_) = SIZE_MAX;
  std::map<std::string, Block, std::less<>> blocks_ ABSL_GUARDED_BY(mu_);
  std::set<std::string, std::less<>> on_disk_ ABSL_GUARDED_BY(mu_);
  std::deque<std::string> order_ ABSL_GUARDED_BY(mu_);  // oldest first
  std::map<std::string, Faulted, std::less<>> faults_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, absl::Status, std::less<>> put_faults_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::set<std::string>, std::less<>> pins_ ABSL_GUARDED_BY(mu_);
  Calls calls_ ABSL_GUARDED_BY(mu_);
  ClientCounters counters_ ABSL_GUARDED_BY(mu_);
  size_t live_registrations_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_FAKE_CLIENT_H_
