#ifndef KVASIR_SERVICE_CLUSTER_SERVICE_H_
#define KVASIR_SERVICE_CLUSTER_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "kvasir/v1/cluster.grpc.pb.h"

namespace kvasir {

// The cluster of one node: this one. Watchers hear of it at once, and again when it
// begins to drain.
class ClusterService final : public v1::ClusterService::CallbackService {
 public:
  struct Self {
    std::string name;
    std::string address;  // HOST:PORT that clients can reach
  };

  // Says who this node is; until then the cluster is empty.
  void Begin(const Self& self) ABSL_LOCKS_EXCLUDED(mu_);
  void BeginDrain() ABSL_LOCKS_EXCLUDED(mu_);

  grpc::ServerUnaryReactor* GetCluster(grpc::CallbackServerContext* context,
                                       const v1::GetClusterRequest* request,
                                       v1::GetClusterResponse* response) override
      ABSL_LOCKS_EXCLUDED(mu_);
  grpc::ServerWriteReactor<v1::WatchClusterResponse>* WatchCluster(
      grpc::CallbackServerContext* context,
      const v1::WatchClusterRequest* request) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Watcher;

  // Tells every watcher. Holds the lock so that none is deleted meanwhile: a watcher
  // only starts a write, which neither waits nor calls back.
  void TellWatchersLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Forget(Watcher* watcher) ABSL_LOCKS_EXCLUDED(mu_);

  absl::Mutex mu_;
  v1::WatchClusterResponse membership_ ABSL_GUARDED_BY(mu_);
  std::set<Watcher*> watchers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_CLUSTER_SERVICE_H_
