#include "service/cluster_service.h"

namespace kvasir {

// One WatchCluster call. Sends the newest membership, one write at a time: changes that
// come while one is on its way are sent as one. Deletes itself in OnDone.
class ClusterService::Watcher final
    : public grpc::ServerWriteReactor<v1::WatchClusterResponse> {
 public:
  explicit Watcher(ClusterService* service) : service_(service) {}

  void Tell(const v1::WatchClusterResponse& membership) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    next_ = membership;
    stale_ = true;
    ProceedLocked();
  }
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    ended_ = ended_ || !ok;
    ProceedLocked();
  }
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    ended_ = true;
    ProceedLocked();
  }
  void OnDone() override {
    service_->Forget(this);
    delete this;
  }

 private:
  void ProceedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || finished_) return;
    if (ended_) {
      finished_ = true;
      Finish(grpc::Status::CANCELLED);
    } else if (stale_) {
      sent_ = next_;
      stale_ = false;
      writing_ = true;
      StartWrite(&sent_);
    }
  }

  ClusterService* const service_;
  absl::Mutex mu_;
  v1::WatchClusterResponse next_ ABSL_GUARDED_BY(mu_);
  v1::WatchClusterResponse sent_ ABSL_GUARDED_BY(mu_);
  bool stale_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

void ClusterService::Begin(const Self& self) {
  absl::MutexLock lock(&mu_);
  v1::Node* const node = membership_.add_nodes();
  node->set_name(self.name);
  node->set_address(self.address);
  node->set_weight(1);
  membership_.set_version(1);
  TellWatchersLocked();
}

void ClusterService::BeginDrain() {
  absl::MutexLock lock(&mu_);
  for (v1::Node& node : *membership_.mutable_nodes()) node.set_draining(true);
  membership_.set_version(membership_.version() + 1);
  TellWatchersLocked();
}

grpc::ServerUnaryReactor* ClusterService::GetCluster(grpc::CallbackServerContext* context,
                                                     const v1::GetClusterRequest* request,
                                                     v1::GetClusterResponse* response) {
  {
    absl::MutexLock lock(&mu_);
    *response->mutable_nodes() = membership_.nodes();
    response->set_version(membership_.version());
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<v1::WatchClusterResponse>* ClusterService::WatchCluster(
    grpc::CallbackServerContext* context, const v1::WatchClusterRequest* request) {
  auto* const watcher = new Watcher(this);
  absl::MutexLock lock(&mu_);
  watchers_.insert(watcher);
  watcher->Tell(membership_);
  return watcher;
}

void ClusterService::TellWatchersLocked() {
  for (Watcher* const watcher : watchers_) watcher->Tell(membership_);
}

void ClusterService::Forget(Watcher* watcher) {
  absl::MutexLock lock(&mu_);
  watchers_.erase(watcher);
}

}  // namespace kvasir
