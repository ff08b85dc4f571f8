#ifndef KVASIR_SERVICE_PIN_TABLE_H_
#define KVASIR_SERVICE_PIN_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/ids.h"
#include "storage/block.h"

namespace kvasir {

struct PinView {
  std::string owner;
  std::string key;
  uint64_t size_bytes = 0;
  Instant expiry;
};

// Every live pin: a BlockRef with a named owner and an expiry, and no token. An owner
// belongs to a session, so that two engines which number their requests alike cannot
// drop each other's pins. Thread-safe. Never frees a block under its lock.
//
// Bounds: kMaxPins.
class PinTable {
 public:
  // One owner has at most one pin on a key: pinning again may extend it and never
  // shortens it, and moves it to the block that is committed now. ResourceExhausted
  // beyond kMaxPins; `block` is dropped then.
  absl::Status Pin(SessionId session, std::string_view owner, BlockRef block, Instant expiry)
      ABSL_LOCKS_EXCLUDED(mu_);

  // How many pins were dropped: of one session's owner, or of every owner of that name.
  size_t Unpin(SessionId session, std::string_view owner) ABSL_LOCKS_EXCLUDED(mu_);
  size_t UnpinEverywhere(std::string_view owner) ABSL_LOCKS_EXCLUDED(mu_);
  // The same, on these keys only.
  size_t UnpinKeys(SessionId session, std::string_view owner,
                   std::span<const std::string_view> keys) ABSL_LOCKS_EXCLUDED(mu_);
  size_t UnpinKeysEverywhere(std::string_view owner, std::span<const std::string_view> keys)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Pins greater than (`after_owner`, `after_key`) in that order, at most `limit`. Those
  // of equal owner name and key are one row, with the later expiry.
  std::vector<PinView> List(std::string_view after_owner, std::string_view after_key,
                            size_t limit) const ABSL_LOCKS_EXCLUDED(mu_);

  // Takes out what ended: by time, or with its session.
  std::vector<BlockRef> Expire(Instant now) ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<BlockRef> EndSession(SessionId session) ABSL_LOCKS_EXCLUDED(mu_);

  size_t size() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Owner;
  struct Entry {
    Owner* owner;
    BlockRef block;
    // When it ends; the number tells pins of one instant apart, in order of pinning.
    std::pair<Instant, uint64_t> expiry;
  };
  struct OwnerId {
    std::string name;
    SessionId session;
  };
  // Orders owners by name, then session; a bare name comes before all of that name.
  struct ByName {
    using is_transparent = void;
    using Ref = std::tuple<std::string_view, uint64_t, uint64_t>;
    static Ref RefOf(const OwnerId& id) { return {id.name, id.session.high, id.session.low}; }
    static Ref RefOf(const Ref& ref) { return ref; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return RefOf(a) < RefOf(b);
    }
  };
  struct Owner {
    const OwnerId* id = nullptr;
    // By key, which is the block's own copy of it.
    absl::btree_map<std::string_view, std::unique_ptr<Entry>> pins;
  };
  using Owners = std::map<OwnerId, Owner, ByName>;

  Owner* OwnerLocked(SessionId session, std::string_view owner)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  BlockRef RepinLocked(Entry* entry, BlockRef block, Instant expiry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  BlockRef TakeLocked(Owner* owner, std::string_view key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Owners::iterator TakeAllLocked(Owners::iterator owner, std::vector<BlockRef>* taken)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropOwnerIfEmptyLocked(Owner* owner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<PinView> ListOwnerLocked(std::string_view owner, std::string_view after_key,
                                       size_t limit) const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  Owners owners_ ABSL_GUARDED_BY(mu_);
  std::set<std::tuple<uint64_t, uint64_t, std::string_view>> by_session_ ABSL_GUARDED_BY(mu_);
  absl::btree_map<std::pair<Instant, uint64_t>, Entry*> by_expiry_ ABSL_GUARDED_BY(mu_);
  uint64_t last_number_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_PIN_TABLE_H_
