#ifndef KVASIR_RDMA_VERBS_SERVER_H_
#define KVASIR_RDMA_VERBS_SERVER_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/executor.h"
#include "base/ids.h"
#include "rdma/transport.h"
#include "rdma/verbs_device.h"
#include "rdma/verbs_exports.h"
#include "rdma/verbs_lane_mail.h"
#include "rdma/verbs_lane_table.h"
#include "rdma/verbs_loop.h"
#include "rdma/verbs_mailbox.h"
#include "rdma/verbs_options.h"
#include "rdma/verbs_port_counters.h"

namespace kvasir {

// The server's half of the rdma transport. Clients move the bytes by themselves; this
// half opens the NICs, registers regions, answers hellos with two queue pairs a rail (one
// that admits READ only, one WRITE only), and takes them away again: a fence is a task of
// a loop that puts them into ERR, destroys them and is done when the driver has returned.
// Messages come on the queue pair for READs of a lane's rail 0; they have loops of their
// own, so that a destroy call that hangs keeps none waiting. docs/transports.md tells the
// rest.
//
// Threads: Poll(loop) as ServerTransport says; the rest from any.
// Bounds:  lanes_max(); kVerbsRegionsMax regions.
class VerbsServer final : public ServerTransport {
 public:
  struct Options {
    VerbsDeviceOptions devices;
    size_t loops = 1;  // that fence, and as many for messages
    // Registers chunks of a large region at the same time; null: one after the other.
    // Not owned; used by Export only.
    Executor* registrar = nullptr;
  };

  // Opens the NICs. InvalidArgument for no loops; else as OpenVerbsRails.
  static absl::StatusOr<std::unique_ptr<VerbsServer>> Create(const Options& options);
  // Destroys every lane, then runs `done` of every fence that waits. REQUIRES: no call is
  // under way.
  ~VerbsServer() override;

  // The rails, for people.
  std::string Describe() const;
  // Their ports, whose counters tell what the NICs move.
  std::vector<VerbsPort> ports() const;
  size_t lanes_max() const;

  TransportKind kind() const override { return TransportKind::kRdma; }
  absl::Status Export(const Region& region) override;
  absl::StatusOr<std::string> Accept(SessionId session, LaneId lane,
                                     std::string_view hello) override;
  void Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) override;
  std::vector<SessionId> TakeMisbehaved() override { return lanes_.TakeMisbehaved(); }
  void OnGranted(Access access, uint64_t size_bytes) override;
  void HandleMessages(MessageHandler handler) override { handler_ = std::move(handler); }
  size_t loops() const override { return loops_.size() + message_loops_.size(); }
  void Poll(size_t loop, std::chrono::milliseconds wait_max) override;
  TransportStats stats() const override;

 private:
  using Loops = std::vector<std::unique_ptr<VerbsLoop>>;
  VerbsServer(const Options& options, std::vector<std::unique_ptr<VerbsDevice>> rails,
              Loops message_loops, Loops loops);
  struct LaneName {
    SessionId session;
    LaneId lane{};
  };
  // Makes and connects one rail's two queue pairs. Unavailable if the client's end cannot
  // be reached from it, which costs the lane that rail alone; `queues` is unchanged then.
  absl::StatusOr<VerbsRail> AcceptRail(const LaneName& name, size_t rail,
                                       const VerbsRail& hello,
                                       std::vector<VerbsLaneTable::Queue>* queues);
  absl::StatusOr<VerbsLaneTable::Queue> AcceptQueue(const LaneName& name, size_t rail,
                                                    Access access, const VerbsRail& hello,
                                                    const VerbsRail& offered);
  // Makes the mailbox of a lane; null, with a warning, if there is no memory for it.
  std::unique_ptr<VerbsMailbox> MakeMailbox(size_t rail) const;
  VerbsLoop& LoopOf(const SessionId& session) const;
  VerbsLoop& MessageLoopOf(const SessionId& session) const;
  void OnCompletion(const ibv_wc& completion);
  void OnMessage(const std::shared_ptr<VerbsLaneMail>& mail, size_t bytes);

  const Options options_;
  const std::vector<std::unique_ptr<VerbsDevice>> rails_;
  VerbsExports exports_;
  MessageHandler handler_;  // empty: lanes carry no messages
  // A session's lanes are all on one loop of each, so a fence is one task. What waits to be
  // destroyed in the second uses queues of the first.
  const std::vector<std::unique_ptr<VerbsLoop>> message_loops_;
  const std::vector<std::unique_ptr<VerbsLoop>> loops_;
  VerbsLaneTable lanes_;
  struct Granted {
    std::atomic<uint64_t> blocks{0}, bytes{0};  // relaxed: guard nothing
  };
  Granted reads_, writes_;
  std::atomic<uint64_t> messages_{0};  // relaxed, as they
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_SERVER_H_
