#ifndef KVASIR_TESTS_SIMULATION_ORACLE_H_
#define KVASIR_TESTS_SIMULATION_ORACLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/durability.h"
#include "base/extent.h"
#include "base/ids.h"
#include "kvasir/v1/kv.pb.h"
#include "rdma/token.h"
#include "tests/simulation/history.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/values.h"

namespace kvasir::sim {

// Knows what is allowed, from watching: what the server granted and published, what
// landed where, what the disk did, what clients took for a hit. Keeps a shadow of who owns
// every unit of the arena, from when to when each version was the one to read, and what a
// crash may leave of each key.
//
// A hit must be a version that was published under its key, whole, and that was current
// at some moment of the get. A packet may only land in memory whose grant is open. A
// lease that a client can still use is never broken, nor a pin of a live session. What a
// lookup or a grant to read finds is what was published last; a put that does not
// replace never wins over a block that is there.
//
// With a disk a block may leave memory and come back: a copy from the disk owns its memory
// as what a client wrote does, and is read as the version that it is a copy of. A miss
// then ends nothing. After a crash each key has what its history allows.
class Oracle {
 public:
  struct World {
    const Scheduler* scheduler = nullptr;
    Trace* trace = nullptr;
    Values* values = nullptr;
    std::span<const std::byte> arena;
    bool disk = false;  // below memory there is one
  };
  explicit Oracle(const World& world);

  // What the oracle cannot know from watching alone.
  class Facts {
   public:
    virtual ~Facts() = default;
    // Bytes can still flow on the lane.
    virtual bool CanRead(SessionId session, LaneId lane) const = 0;
    virtual bool IsLive(SessionId session) const = 0;
    // Committed, and in memory or on disk.
    virtual bool IsResident(std::string_view key) const = 0;
    // Where in memory the key's block begins; nothing if it is not there.
    virtual std::optional<uint64_t> OffsetOf(std::string_view key) const = 0;
  };
  // Not owned; before anything else.
  void Ask(const Facts* facts) { facts_ = facts; }

  // The control plane: just before the server handles a request, and once it has.
  void OnRequest(const v1::LaneRequest& request);
  void OnAnswer(SessionId session, LaneId lane, const v1::LaneRequest& request,
                const v1::LaneResponse& response);
  void OnRestart();

  // The disk. What it stores now under the key, by version; 0 if it is none of our keys.
  uint64_t OnStores(std::string_view key, std::span<const std::byte> payload);
  // The store has given memory to a copy of that version. The number is for OnCopyLands,
  // just before its bytes are written there.
  size_t OnCopyBegins(std::string_view key, uint64_t version,
                      std::span<const std::byte> memory);
  void OnCopyLands(size_t copy);
  // The disk drops a block, as it may.
  void OnDropped(const std::string& key, uint64_t version);
  // What it has of each key after a restart: versions.
  void OnRecovered(const std::map<std::string, uint64_t>& found);

  // The data plane, just before the bytes move. `from` and `size_bytes` are within the
  // token's extent.
  void OnWriteLands(const Token& token, uint64_t from, uint64_t size_bytes);
  void OnReadFetches(const Token& token, uint64_t from, uint64_t size_bytes);

  // What clients conclude.
  void OnPutAcknowledged(uint64_t version);
  void OnHit(std::string_view key, std::span<const std::byte> bytes, Instant get_began);

  // The size of the block that a get of `key` should find now; nothing if there is none.
  std::optional<size_t> SizeToExpect(const std::string& key) const;

  // Anything else that must not be.
  void Violation(std::string what);
  const std::vector<std::string>& violations() const { return violations_; }

  struct Seen {
    uint64_t grants = 0, published = 0, reuses = 0;
    uint64_t copies = 0;        // from the disk, that were read or pinned
    uint64_t settled_late = 0;  // puts that were published first and acknowledged later
    uint64_t taken_back = 0;    // durable puts that were found to be
    uint64_t told_durable = 0;  // puts, of a block that was there
    uint64_t recovered = 0, durable_recovered = 0, rolled_back = 0;
  };
  const Seen& seen() const { return seen_; }

 private:
  enum class State : uint8_t { kOpen, kPublished, kFreed };
  // One reservation, from its grant to the end of its memory; or one copy from the disk,
  // which counts as published once somebody was led to it.
  struct Grant {
    std::string key;
    SessionId session;
    LaneId lane{};
    Extent extent;
    bool replace = false;
    bool copy = false;
    Durability durability = Durability::kNone;
    State state = State::kOpen;
    bool published = false;  // and perhaps freed since
    uint64_t version = 0;    // once published
    // The block that comes back if the disk refuses this one.
    std::optional<size_t> replaced = std::nullopt;
  };
  struct ReadLease {
    SessionId session;
    LaneId lane{};
    size_t grant = 0;
    Instant until;  // no client trusts it for longer
  };
  struct Pin {
    size_t grant = 0;
    Instant until;
  };
  // A block that a durable put was told of instead of its own.
  struct Told {
    std::optional<size_t> grant;  // nothing if it cannot be said which it is
    Durability durability = Durability::kNone;
  };
  // Session, owner, key.
  using PinName = std::tuple<std::string, std::string, std::string>;
  struct Visibility {
    bool published = false;
    bool acknowledged = false;  // by the server
    Instant ended = Instant::max();
  };

  void OnLookup(SessionId session, const v1::LookupRequest& request,
                const v1::LookupResponse& response);
  void DropPins(SessionId session, std::string_view owner);
  void OnReadGrants(SessionId session, LaneId lane, const v1::GrantReadsRequest& request,
                    const v1::GrantReadsResponse& response);
  void OnReadGrant(const ReadLease& holder, const std::string& key,
                   const v1::ReadGrant& granted);
  void OnWriteGrants(SessionId session, LaneId lane,
                     const v1::GrantWritesRequest& request,
                     const v1::GrantWritesResponse& response);
  void OnCommits(const v1::CommitRequest& request, const v1::CommitResponse& response);
  void OnPending(uint64_t lease);
  void OnExists(uint64_t lease);
  // The key's block, for a put with that durability.
  Told TellOf(const std::string& key, Durability durability);
  // That put was told that the block is there, and as durable.
  void OnTold(const Told& told);
  void OnCommitted(uint64_t lease, bool acknowledged);
  void Acknowledge(size_t grant);
  void OnRemovals(const v1::RemoveRequest& request, const v1::RemoveResponse& response);
  void OnAborts(SessionId session, LaneId lane, const v1::AbortRequest& request);
  void Publish(size_t index);
  void EndCurrent(const std::string& key);
  void OnAbsent(const std::string& key);
  // The grant that owns the memory at `offset_bytes`, now that somebody is led there.
  std::optional<size_t> FindBlock(const std::string& key, uint64_t offset_bytes);
  bool IsCurrent(size_t grant) const;
  // The same, of a key that somebody has just found: what the disk had refused is over.
  bool IsFound(size_t grant);
  void GiveMemoryTo(size_t grant);
  void CheckLeasesOn(size_t grant);
  void RecoverKey(const std::string& key, History* history, uint64_t found);
  Visibility& VisibilityOf(uint64_t version);
  Grant* FindLease(uint64_t lease);

  const World world_;
  const Facts* facts_ = nullptr;
  std::vector<Grant> grants_;
  std::vector<std::optional<size_t>> owners_;         // of each unit of the arena
  std::unordered_map<std::string, size_t> by_token_;  // writes
  // Of this boot.
  std::unordered_map<uint64_t, size_t> by_lease_;  // writes
  std::unordered_map<uint64_t, ReadLease> reads_by_lease_;
  std::set<uint64_t> unreleased_;  // of those
  std::map<PinName, Pin> pins_;
  std::set<uint64_t> first_writer_lost_;  // leases on keys that have a block already
  std::unordered_map<uint64_t, Told> told_of_others_;  // leases whose puts wait for it
  // The grant whose block each key names. Two grants may hold one version: a put that
  // was tried again after its session was lost.
  std::unordered_map<std::string, size_t> current_;
  std::map<std::string, History> histories_;
  std::vector<Visibility> visibility_;  // by version
  std::vector<std::string> violations_;
  Seen seen_;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_ORACLE_H_
