#ifndef KVASIR_RDMA_VERBS_LANE_TABLE_H_
#define KVASIR_RDMA_VERBS_LANE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "rdma/token.h"
#include "rdma/transport.h"
#include "rdma/verbs_handles.h"
#include "rdma/verbs_lane_mail.h"
#include "rdma/verbs_mailbox.h"

namespace kvasir {

// A session whose requests a NIC has refused so often is told to end.
inline constexpr size_t kVerbsRefusalsMax = 3;

// Which lanes an rdma server has, with their queue pairs, and which sessions' requests
// its NICs have refused. Thread-safe; runs no callback and destroys nothing under its
// lock but what Add refuses.
class VerbsLaneTable {
 public:
  // A queue pair of a lane. The tag is its own, never reused: the number of a queue pair
  // that is gone may come again while a completion of the old one is still queued.
  struct Queue {
    Access access = Access::kRead;  // what the client does on it
    uint64_t tag = 0;
    std::shared_ptr<VerbsLaneMail> mail;  // null: the client may send nothing here
    std::unique_ptr<VerbsMailbox> mailbox;  // of that
    VerbsQp qp;
  };

  explicit VerbsLaneTable(size_t lanes_max) : lanes_max_(lanes_max) {}
  // Cuts off the mail of every lane that is left.
  ~VerbsLaneTable();

  uint64_t NewTag() ABSL_LOCKS_EXCLUDED(mu_);

  // FailedPrecondition if there is such a lane; ResourceExhausted if there are lanes_max.
  absl::Status Add(SessionId session, LaneId lane, std::vector<Queue> queues)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Takes out what a fence of `target` is to destroy, with its mail cut off.
  std::vector<VerbsCutQueue> Take(const FenceTarget& target) ABSL_LOCKS_EXCLUDED(mu_);

  // Null if the tag is unknown, or has none.
  std::shared_ptr<VerbsLaneMail> MailOf(uint64_t tag) ABSL_LOCKS_EXCLUDED(mu_);
  // The client does not take what was sent to it on `tag`: what comes back of it from now
  // on is no refusal.
  void Lose(uint64_t tag) ABSL_LOCKS_EXCLUDED(mu_);

  // Something posted on `tag` was flushed: the NIC has refused a request there and stopped
  // the queue pair. False if the tag is unknown: it was fenced.
  bool Trip(uint64_t tag) ABSL_LOCKS_EXCLUDED(mu_);
  // Sessions that have reached kVerbsRefusalsMax; each is told once.
  std::vector<SessionId> TakeMisbehaved() ABSL_LOCKS_EXCLUDED(mu_);

  size_t lanes() const ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t refusals() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Lanes = absl::flat_hash_map<LaneId, std::vector<Queue>>;
  struct Session {
    Lanes lanes;
    size_t refusals = 0;
  };
  std::vector<Queue> TakeQueues(const FenceTarget& target) ABSL_LOCKS_EXCLUDED(mu_);
  void TakeLocked(std::vector<Queue>* lane, FenceScope scope, std::vector<Queue>* taken)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t lanes_max_;
  mutable absl::Mutex mu_;
  // With or without lanes, until a fence of the whole session.
  absl::flat_hash_map<SessionId, Session> sessions_ ABSL_GUARDED_BY(mu_);
  struct Tag {
    SessionId session;
    std::shared_ptr<VerbsLaneMail> mail;
  };
  absl::flat_hash_map<uint64_t, Tag> tags_ ABSL_GUARDED_BY(mu_);  // of live queues
  std::vector<SessionId> misbehaved_ ABSL_GUARDED_BY(mu_);
  size_t lanes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_tag_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t refusals_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_LANE_TABLE_H_
