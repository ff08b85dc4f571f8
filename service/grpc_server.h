#ifndef KVASIR_SERVICE_GRPC_SERVER_H_
#define KVASIR_SERVICE_GRPC_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/listen_address.h"

namespace kvasir {

// A gRPC server with what every one of ours has: bounded messages, keep-alives that
// notice a dead host, no sharing of its port, and the services health, reflection and
// channelz. Its threads are gRPC's own.
class GrpcServer {
 public:
  struct Options {
    ListenAddress listen;
    std::string control_socket;  // path of a unix socket to listen on as well; empty: none
    std::vector<grpc::Service*> services;    // Not owned; must outlive the server.
    std::vector<std::string> service_names;  // for health, besides "" (the whole server)
  };
  // Begins to take calls; health says NOT_SERVING until SetServing. Unavailable, with
  // the reason, if the address or the socket cannot be bound.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const Options& options);
  ~GrpcServer();  // Cancels what is left and waits for its end.

  const ListenAddress& address() const { return address_; }
  // What grpc.health.v1 answers, for all services. Thread-safe.
  void SetServing(bool serving);
  // Takes no more calls, cancels those that are not done in `patience`, and returns once
  // every reactor is gone. Idempotent.
  void Shutdown(std::chrono::milliseconds patience);

 private:
  GrpcServer(ListenAddress address, std::vector<std::string> service_names,
             std::unique_ptr<grpc::Server> server);

  const ListenAddress address_;
  const std::vector<std::string> service_names_;
  const std::unique_ptr<grpc::Server> server_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_GRPC_SERVER_H_
