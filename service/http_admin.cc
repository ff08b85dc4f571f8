#include "service/http_admin.h"

#include <fmt/core.h>
#include <httplib.h>
#include <sys/socket.h>

#include <functional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "service/bind_error.h"
#include "service/metrics.h"

namespace kvasir {
namespace {

// Bounds of one connection: requests, and seconds of waiting for its next or its rest.
constexpr size_t kRequestsPerConnectionMax = 100;
constexpr time_t kIdleSeconds = 2;
constexpr time_t kTransferSeconds = 5;
constexpr size_t kBodyBytesMax = 4096;

// httplib's view of an Executor. The library deletes it when listening ends.
class ExecutorQueue final : public httplib::TaskQueue {
 public:
  explicit ExecutorQueue(Executor* executor) : executor_(executor) {}

  void enqueue(std::function<void()> task) override ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      ++running_;
    }
    const auto run = [this, task] {
      task();
      absl::MutexLock lock(&mu_);
      --running_;
    };
    // The task closes its connection, so it has to run somewhere.
    if (!executor_->Submit(run)) run();
  }
  void shutdown() override ABSL_LOCKS_EXCLUDED(mu_) {
    const auto idle = [this]()
                          ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return running_ == 0; };
    absl::MutexLock lock(&mu_, absl::Condition(&idle));
  }

 private:
  Executor* const executor_;
  absl::Mutex mu_;
  size_t running_ ABSL_GUARDED_BY(mu_) = 0;
};

// A line for the state and one for each reason.
std::string HealthText(const Health& health, bool good) {
  std::string text = good ? "ok\n" : "not ok\n";
  for (const std::string& reason : health.reasons) text += reason + "\n";
  return text;
}

void AnswerHealth(const Health& health, bool good, httplib::Response* response) {
  response->status = good ? 200 : 503;
  response->set_content(HealthText(health, good), "text/plain; charset=utf-8");
}

}  // namespace

class HttpAdmin::Impl {
 public:
  Impl(const NodeView* view, Executor* executor) {
    server_.new_task_queue = [executor] { return new ExecutorQueue(executor); };
    server_.set_keep_alive_max_count(kRequestsPerConnectionMax);
    server_.set_keep_alive_timeout(kIdleSeconds);
    server_.set_read_timeout(kTransferSeconds);
    server_.set_write_timeout(kTransferSeconds);
    server_.set_payload_max_length(kBodyBytesMax);
    // The library would set SO_REUSEPORT, with which a second server on the port starts
    // without an error and takes half of the requests.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server_.Get("/metrics", [view](const httplib::Request&, httplib::Response& response) {
      response.set_content(MetricsText(CollectMetrics(view->stats())),
                           "text/plain; version=0.0.4; charset=utf-8");
    });
    server_.Get("/healthz", [view](const httplib::Request&, httplib::Response& response) {
      const Health health = view->health();
      AnswerHealth(health, health.live, &response);
    });
    server_.Get("/readyz", [view](const httplib::Request&, httplib::Response& response) {
      const Health health = view->health();
      AnswerHealth(health, health.ready, &response);
    });
    server_.set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (!response.body.empty()) return;
      response.set_content(
          fmt::format("{}: here are /metrics, /healthz and /readyz\n", response.status),
          "text/plain; charset=utf-8");
    });
  }

  ~Impl() {
    server_.stop();
    absl::MutexLock lock(&mu_, absl::Condition(&stopped_));
  }

  // The port, or -1.
  int Bind(const ListenAddress& listen) {
    if (listen.port == 0) return server_.bind_to_any_port(listen.host);
    return server_.bind_to_port(listen.host, listen.port) ? listen.port : -1;
  }

  bool Listen(Executor* executor) ABSL_LOCKS_EXCLUDED(mu_) {
    const auto set_stopped = [this](bool stopped) {
      absl::MutexLock lock(&mu_);
      stopped_ = stopped;
    };
    set_stopped(false);
    const bool submitted = executor->Submit([this, set_stopped] {
      server_.listen_after_bind();
      set_stopped(true);
    });
    if (!submitted) set_stopped(true);
    // stop() has no effect before the loop runs, so it has to be seen running.
    absl::MutexLock lock(&mu_);
    while (!stopped_ && !server_.is_running()) {
      mu_.AwaitWithTimeout(absl::Condition(&stopped_), absl::Milliseconds(1));
    }
    return !stopped_;
  }

 private:
  httplib::Server server_;
  absl::Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = true;
};

absl::StatusOr<std::unique_ptr<HttpAdmin>> HttpAdmin::Start(const ListenAddress& listen,
                                                            const NodeView* view,
                                                            Executor* executor) {
  auto impl = std::make_unique<Impl>(view, executor);
  const int port = impl->Bind(listen);
  if (port < 0) return BindError("http_listen", listen);
  if (!impl->Listen(executor)) {
    return absl::InternalError(
        "http_listen: the executor is full or the listener stopped");
  }
  ListenAddress address = listen;
  address.port = static_cast<uint16_t>(port);
  return std::unique_ptr<HttpAdmin>(new HttpAdmin(std::move(address), std::move(impl)));
}

HttpAdmin::HttpAdmin(ListenAddress address, std::unique_ptr<Impl> impl)
    : address_(std::move(address)), impl_(std::move(impl)) {}

HttpAdmin::~HttpAdmin() = default;

}  // namespace kvasir
