#include "service/admin_service.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "proto/grpc_status.h"
#include "service/clearing.h"
#include "service/enum_codec.h"
#include "service/key_removal.h"

namespace kvasir {

namespace {

struct AdminWorld {
  const Admin* admin;
  RequestMetrics* metrics;
  const Clock* clock;
};

// A Clear that may end on another thread, once the disk has deleted what it removes.
class ClearCall final : public grpc::ServerUnaryReactor {
 public:
  ClearCall(const AdminWorld& world, grpc::CallbackServerContext* context,
            v1::ClearResponse* response)
      : world_(world), context_(context), response_(response) {}

  void Start(const v1::ClearRequest& request) {
    auto clearing = world_.admin->Clear(
        request, {.prefix = {},
                  .cancelled = [this] { return context_->IsCancelled(); },
                  .done =
                      [this](const absl::Status& status, uint64_t removed_count) {
                        response_->set_removed_count(removed_count);
                        End(status);
                      }});
    if (!clearing.ok()) return End(clearing.status());
    clearing_ = *std::move(clearing);
    clearing_->Run();
  }
  void OnDone() override { delete this; }

 private:
  void End(const absl::Status& status) {
    world_.metrics->Record(Method::kAdmin, world_.clock->Now() - begin_, status.code());
    Finish(ToGrpcStatus(status));  // From here on OnDone may have been.
  }

  const AdminWorld world_;
  grpc::CallbackServerContext* const context_;
  v1::ClearResponse* const response_;
  const Instant begin_ = world_.clock->Now();
  std::unique_ptr<Clearing> clearing_;
};

// A RemoveKeys that ends likewise.
class RemoveCall final : public grpc::ServerUnaryReactor {
 public:
  RemoveCall(const AdminWorld& world, v1::RemoveKeysResponse* response)
      : world_(world), response_(response) {}

  void Start(const v1::RemoveKeysRequest& request) {
    auto removal = world_.admin->RemoveKeys(
        request, [this](const std::vector<TieredStore::Removed>& removed) {
          for (const TieredStore::Removed one : removed) {
            response_->add_outcomes(ToProto(one));
          }
          End(absl::OkStatus());
        });
    if (!removal.ok()) return End(removal.status());
    removal_ = *std::move(removal);
    removal_->Run();
  }
  void OnDone() override { delete this; }

 private:
  void End(const absl::Status& status) {
    world_.metrics->Record(Method::kAdmin, world_.clock->Now() - begin_, status.code());
    Finish(ToGrpcStatus(status));  // From here on OnDone may have been.
  }

  const AdminWorld world_;
  v1::RemoveKeysResponse* const response_;
  const Instant begin_ = world_.clock->Now();
  std::unique_ptr<KeyRemoval> removal_;
};

}  // namespace

AdminService::AdminService(const Admin* admin, RequestMetrics* metrics,
                           const Clock* clock)
    : admin_(admin), metrics_(metrics), clock_(clock) {}

template <typename Call>
grpc::ServerUnaryReactor* AdminService::Answer(grpc::CallbackServerContext* context,
                                               Call call) {
  const Instant begin = clock_->Now();
  const absl::Status status = call();
  metrics_->Record(Method::kAdmin, clock_->Now() - begin, status.code());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::Ping(grpc::CallbackServerContext* context,
                                             const v1::PingRequest* request,
                                             v1::PingResponse* response) {
  return Answer(context, [&] { return admin_->Ping(*request, response); });
}

grpc::ServerUnaryReactor* AdminService::Exists(grpc::CallbackServerContext* context,
                                               const v1::ExistsRequest* request,
                                               v1::ExistsResponse* response) {
  return Answer(context, [&] { return admin_->Exists(*request, response); });
}

grpc::ServerUnaryReactor* AdminService::List(grpc::CallbackServerContext* context,
                                             const v1::ListRequest* request,
                                             v1::ListResponse* response) {
  return Answer(context, [&] { return admin_->List(*request, response); });
}

grpc::ServerUnaryReactor* AdminService::Stat(grpc::CallbackServerContext* context,
                                             const v1::StatRequest* request,
                                             v1::StatResponse* response) {
  return Answer(context, [&] { return admin_->Stat(*request, response); });
}

grpc::ServerUnaryReactor* AdminService::Pin(grpc::CallbackServerContext* context,
                                            const v1::PinRequest* request,
                                            v1::PinResponse* response) {
  return Answer(context, [&] { return admin_->Pin(*request, response); });
}

grpc::ServerUnaryReactor* AdminService::Unpin(grpc::CallbackServerContext* context,
                                              const v1::UnpinRequest* request,
                                              v1::UnpinResponse* response) {
  return Answer(context, [&] { return admin_->Unpin(*request, response); });
}

grpc::ServerUnaryReactor* AdminService::ListPins(grpc::CallbackServerContext* context,
                                                 const v1::ListPinsRequest* request,
                                                 v1::ListPinsResponse* response) {
  return Answer(context, [&] { return admin_->ListPins(*request, response); });
}

grpc::ServerUnaryReactor* AdminService::RemoveKeys(grpc::CallbackServerContext*,
                                                   const v1::RemoveKeysRequest* request,
                                                   v1::RemoveKeysResponse* response) {
  auto* const call = new RemoveCall(
      {.admin = admin_, .metrics = metrics_, .clock = clock_}, response);
  call->Start(*request);
  return call;
}

grpc::ServerUnaryReactor* AdminService::Clear(grpc::CallbackServerContext* context,
                                              const v1::ClearRequest* request,
                                              v1::ClearResponse* response) {
  auto* const call = new ClearCall({.admin = admin_, .metrics = metrics_, .clock = clock_},
                                   context, response);
  call->Start(*request);
  return call;
}

grpc::ServerUnaryReactor* AdminService::GetNodeInfo(grpc::CallbackServerContext* context,
                                                    const v1::GetNodeInfoRequest* request,
                                                    v1::GetNodeInfoResponse* response) {
  return Answer(context, [&] { return admin_->GetNodeInfo(*request, response); });
}

grpc::ServerUnaryReactor* AdminService::GetStats(grpc::CallbackServerContext* context,
                                                 const v1::GetStatsRequest* request,
                                                 v1::GetStatsResponse* response) {
  return Answer(context, [&] { return admin_->GetStats(*request, response); });
}

grpc::ServerUnaryReactor* AdminService::Drain(grpc::CallbackServerContext* context,
                                              const v1::DrainRequest* request,
                                              v1::DrainResponse* response) {
  return Answer(context, [&] { return admin_->Drain(*request, response); });
}

}  // namespace kvasir
