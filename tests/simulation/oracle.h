#ifndef KVASIR_TESTS_SIMULATION_ORACLE_H_
#define KVASIR_TESTS_SIMULATION_ORACLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/extent.h"
#include "base/ids.h"
#include "kvasir/v1/kv.pb.h"
#include "rdma/token.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/values.h"

namespace kvasir::sim {

// Knows what is allowed, from watching: what the server granted and published, what
// landed where, what clients took for a hit. Keeps a shadow of who owns every unit of the
// arena, and from when to when each version was the one to read. It never asks the store.
//
// A hit must be a version that was published under its key, whole, and that was current
// at some moment of the get. A packet may only land in memory whose grant is open. A
// lease that a client can still use is never broken.
class Oracle {
 public:
  struct World {
    const Scheduler* scheduler = nullptr;
    Trace* trace = nullptr;
    Values* values = nullptr;
    std::span<const std::byte> arena;
  };
  explicit Oracle(const World& world);

  // The control plane, as the server answers. `can_read` tells whether bytes can still
  // flow on a lane.
  using CanRead = absl::FunctionRef<bool(SessionId session, LaneId lane)>;
  void OnAnswer(SessionId session, LaneId lane, const v1::LaneRequest& request,
                const v1::LaneResponse& response, CanRead can_read);
  void OnRestart();

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
  };
  const Seen& seen() const { return seen_; }

 private:
  enum class State : uint8_t { kOpen, kPublished, kFreed };
  // One reservation, from its grant to the end of its memory.
  struct Grant {
    std::string key;
    SessionId session;
    LaneId lane{};
    Extent extent;
    State state = State::kOpen;
    bool published = false;  // and perhaps freed since
    uint64_t version = 0;    // once published
  };
  struct ReadLease {
    SessionId session;
    LaneId lane{};
    size_t grant = 0;
    Instant until;  // no client trusts it for longer
  };
  struct Visibility {
    bool published = false;
    Instant ended = Instant::max();
  };

  void OnReadGrants(SessionId session, LaneId lane, const v1::GrantReadsRequest& request,
                    const v1::GrantReadsResponse& response);
  void OnReadGrant(const ReadLease& holder, const std::string& key,
                   const v1::ReadGrant& granted);
  void OnWriteGrants(SessionId session, LaneId lane, const v1::GrantWritesRequest& request,
                     const v1::GrantWritesResponse& response, CanRead can_read);
  void OnCommits(const v1::CommitRequest& request, const v1::CommitResponse& response);
  void OnAborts(SessionId session, LaneId lane, const v1::AbortRequest& request);
  void Publish(size_t index);
  void EndCurrent(const std::string& key);
  void GiveMemoryTo(size_t grant, CanRead can_read);
  void CheckLeasesOn(size_t grant, CanRead can_read);
  Visibility& VisibilityOf(uint64_t version);
  Grant* FindLease(uint64_t lease);

  const World world_;
  std::vector<Grant> grants_;
  std::vector<std::optional<size_t>> owners_;  // of each unit of the arena
  std::unordered_map<std::string, size_t> by_token_;           // writes
  std::unordered_map<std::string, ReadLease> reads_by_token_;
  std::unordered_map<uint64_t, size_t> by_lease_;     // of this boot, writes
  std::map<uint64_t, ReadLease> read_leases_;         // of this boot, by lease
  // The grant whose block each key names. Two grants may hold one version: a put that
  // was tried again after its session was lost.
  std::unordered_map<std::string, size_t> current_;
  std::vector<Visibility> visibility_;                // by version
  std::vector<std::string> violations_;
  Seen seen_;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_ORACLE_H_
