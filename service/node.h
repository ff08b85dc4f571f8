#ifndef KVASIR_SERVICE_NODE_H_
#define KVASIR_SERVICE_NODE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/fd.h"
#include "base/ids.h"
#include "base/region.h"
#include "rdma/token.h"
#include "rdma/transport.h"
#include "service/admin.h"
#include "service/admin_service.h"
#include "service/cluster_service.h"
#include "service/config.h"
#include "service/grpc_server.h"
#include "service/http_admin.h"
#include "service/kv_core.h"
#include "service/kv_service.h"
#include "service/lane_messages.h"
#include "service/lease_table.h"
#include "service/node_tier.h"
#include "service/node_transports.h"
#include "service/node_view.h"
#include "service/request_metrics.h"
#include "storage/arena.h"
#include "storage/tier.h"
#include "storage/tiered_store.h"

namespace kvasir {

// A running node: owns the memory, the core, the transports, the servers and every
// thread but gRPC's own. Start brings all of it up; the end of the object takes it down.
//
// Threads: one that cranks the reaper, one the evictor, one for each loop of a transport,
//          four for HTTP, and with rdma data_loops for puts. Methods from one thread at a
//          time.
class Node {
 public:
  // Opens the tier that is below memory; see NodeTier::Opener.
  using TierOpener = std::function<absl::StatusOr<std::unique_ptr<Tier>>(
      const Config& config, const NodeTier::Executors& executors,
      const NodeTier::Progress& progress)>;

  // `clock` is not owned and must outlive the node. `open_tier` is for a config with a
  // data_dir. Errors say which setting is to blame: Unavailable if an address cannot be
  // bound, others as transports have them.
  static absl::StatusOr<std::unique_ptr<Node>> Start(const Config& config,
                                                     std::unique_ptr<Region> region,
                                                     const Clock* clock,
                                                     const TierOpener& open_tier);
  // Stops at once, or after the second that a message may wait for the disk: cancels calls,
  // fences lanes, frees memory.
  ~Node();

  const NodeView& view() const { return view_; }
  // What the ready file says: one JSON object in one line.
  std::string ReadyJson() const;

  // Readable once somebody asked for a drain through AdminService. The core refuses
  // already then; the owner is to call BeginDrain.
  int drain_asked_fd() const { return drain_asked_.get(); }
  // Refuses new sessions, grants to write and pins; commits and reads go on. Says so
  // through health, the cluster and heartbeats. Idempotent.
  void BeginDrain();
  // Set once the disk tier is there, or there is none: the node takes sessions. An error
  // says why it must not run.
  std::optional<absl::Status> recovered() const ABSL_LOCKS_EXCLUDED(recovered_mu_);
  // The node may stop: no grant to write is open, no fence is waited for, and leases to
  // read are gone or had the default TTL to go, and all that memory has is on disk, where
  // there is one that takes it. True at the latest kDrainPatience and kSavePatience after
  // BeginDrain.
  bool drained() const;

 private:
  Node(const Config& config, std::unique_ptr<Region> region, const Clock* clock);
  absl::Status StartTransports();
  absl::Status StartServers();
  // For a transport whose lanes carry messages, which is rdma.
  void StartMessages();
  void StartThreads();
  void OpenTier(const TierOpener& open_tier);
  void OnRecovered(const absl::Status& status) ABSL_LOCKS_EXCLUDED(recovered_mu_);
  bool Saved() const;

  const Config config_;
  const Clock* const clock_;
  const UniqueFd drain_asked_;
  const Epoch epoch_;
  std::optional<Instant> drain_began_;
  // Asked for once nothing is granted any more; answered by the ticker of the store.
  mutable std::atomic<bool> save_asked_{false};
  std::atomic<bool> saved_{false};
  mutable absl::Mutex recovered_mu_;
  std::optional<absl::Status> recovered_ ABSL_GUARDED_BY(recovered_mu_);

  // From the bottom up: each member uses those above it. The destructor ends the
  // transports before the core, though they come after the leases: what they still owe
  // is a call into the core.
  const std::unique_ptr<Region> region_;
  Arena arena_;
  std::unique_ptr<NodeTier> tier_;  // null: no data_dir; ends before the store
  TieredStore store_;
  TokenSealer sealer_;
  LeaseTable leases_;
  NodeTransports transports_;
  std::unique_ptr<KvCore> core_;
  RequestMetrics requests_;
  std::unique_ptr<LaneMessages> messages_;
  std::unique_ptr<ThreadPool> message_threads_;  // they answer puts
  NodeView view_;
  std::unique_ptr<Admin> admin_;
  std::unique_ptr<KvService> kv_service_;
  std::unique_ptr<AdminService> admin_service_;
  ClusterService cluster_service_;
  std::vector<std::unique_ptr<Ticker>> tickers_;
  std::unique_ptr<ThreadPool> http_threads_;
  std::unique_ptr<HttpAdmin> http_;
  std::unique_ptr<GrpcServer> grpc_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_NODE_H_
