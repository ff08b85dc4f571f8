#ifndef KVASIR_RDMA_VERBS_LANE_H_
#define KVASIR_RDMA_VERBS_LANE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "rdma/transport.h"
#include "rdma/verbs_client_rail.h"
#include "rdma/verbs_memory_index.h"
#include "rdma/verbs_plan.h"
#include "rdma/verbs_wire.h"

namespace kvasir {

// A client's end of an rdma lane: moves the bytes by one-sided READ and WRITE, cut into
// requests that go to the rail with the least in flight, hashes them meanwhile, looks for
// completions without waiting for kVerbsBusyPoll and then waits for an event. Writes end with
// a READ of their last byte on each rail, which the NIC may answer only after they are in
// memory: a WRITE's own completion does not say that.
//
// It refuses by itself what the token's text does not grant; the server's NIC knows no
// tokens. When a batch ends early the queue pairs are destroyed before Run returns.
class VerbsLane final : public Lane {
 public:
  struct Parts {
    // Connected as the offer says; some of those that it has.
    std::vector<std::unique_ptr<VerbsClientRail>> rails;
    VerbsOffer offer;
    // Not owned; must outlive the lane: registered memory, and a few bytes of it that
    // nobody looks at, which flushing READs go to.
    const VerbsMemoryIndex* memory = nullptr;
    std::span<std::byte> scratch;
    const Clock* clock = nullptr;
  };
  explicit VerbsLane(Parts parts);
  ~VerbsLane() override;

  // Makes sure that every queue pair of the server answers. A rail that fails, or that is
  // silent at half time while another has answered, is left out, with a warning.
  // Unavailable if none is left; DeadlineExceeded.
  absl::Status Probe(Instant deadline);

  void Run(std::span<Transfer> batch, Instant deadline) override;
  bool usable() const override { return usable_; }
  bool carries_messages() const override;
  absl::Status Send(std::string_view request) override;
  absl::StatusOr<std::optional<std::string_view>> Receive(Instant until) override;

 private:
  absl::Status AwaitProbes(Instant deadline);
  // Leaves out the rails that are not `good`.
  void DropRails(absl::FunctionRef<bool(size_t rail)> good, const absl::Status& why);
  absl::Status CheckTransfer(const Transfer& transfer) const;
  // Sets statuses of what cannot be moved and plans the rest.
  void Plan(std::span<Transfer> batch);
  absl::Status Move(Instant deadline);
  // The rail of messages; null: there is none.
  VerbsClientRail* mail_rail() const;
  // Asks the queue pair that an answer is to come on, with a READ: one that the server's NIC
  // has stopped would never say so.
  absl::Status AskForLife();
  // Until nothing is left to post, to complete or to hash, and no answer is due.
  absl::Status Exchange(Instant deadline);
  // Posts as much as the credits allow. Whether there was anything.
  absl::StatusOr<bool> PostSome();
  void AddPiece(size_t rail, const VerbsPlan::Piece& piece, Access access);
  absl::Status PostAll();
  absl::StatusOr<bool> ReapSome();
  // Reads a byte of `place` into the scratch.
  void AddFlush(size_t rail, const VerbsPlace& place);
  bool busy() const;
  absl::Status Arm();
  absl::Status Await(Instant deadline);
  uint32_t RemoteKey(size_t rail, const VerbsPlace& place, Access access) const;
  void Abandon(const absl::Status& status);

  Parts parts_;
  bool usable_ = true;
  size_t failed_rail_ = 0;  // the last that ReapSome has seen fail
  VerbsPlan plan_;
  // Of the batch under way, by rail: where its last WRITE went.
  std::array<VerbsPlace, kVerbsRailsMax> written_{};
  std::array<bool, kVerbsRailsMax> wrote_{};
  std::vector<const VerbsCredits*> queues_;  // by rail, for LeastLoaded
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_LANE_H_
