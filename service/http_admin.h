#ifndef KVASIR_SERVICE_HTTP_ADMIN_H_
#define KVASIR_SERVICE_HTTP_ADMIN_H_

#include <memory>

#include "absl/status/statusor.h"
#include "base/executor.h"
#include "service/listen_address.h"
#include "service/node_view.h"

namespace kvasir {

// HTTP for people, Prometheus and Kubernetes: GET /metrics, /healthz (200, or 503 if a
// restart would help) and /readyz (200, or 503 with the reasons). All else is 404.
//
// Runs on an executor that it is given: one task accepts for as long as the object
// lives, and one a connection answers it. Connections are bounded in time, requests and
// bytes, and in number by the executor: what it refuses is answered by the accepting
// task itself.
class HttpAdmin {
 public:
  // Binds and begins to answer. Unavailable, with the reason, if the address cannot be
  // bound. `view` and `executor` are not owned and must outlive the object.
  // REQUIRES: `executor` has at least two threads that nobody else keeps busy.
  static absl::StatusOr<std::unique_ptr<HttpAdmin>> Start(const ListenAddress& listen,
                                                          const NodeView* view,
                                                          Executor* executor);
  ~HttpAdmin();  // Stops listening and waits for its tasks.

  const ListenAddress& address() const { return address_; }

 private:
  class Impl;
  HttpAdmin(ListenAddress address, std::unique_ptr<Impl> impl);

  const ListenAddress address_;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_HTTP_ADMIN_H_
