#ifndef KVASIR_RDMA_TCP_LOOP_H_
#define KVASIR_RDMA_TCP_LOOP_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/fd.h"
#include "rdma/tcp_connection.h"
#include "rdma/tcp_lane_table.h"
#include "rdma/transport.h"

namespace kvasir {

// One epoll set and the connections it serves. Each connection belongs to one loop for
// its life, and only Poll touches it: whoever wants something of one posts it.
//
// Threads: Poll and Watch from one at a time; the rest from any.
class TcpLoop {
 public:
  struct Options {
    size_t index = 0;
    // A connection must attach to its lane within this time.
    std::chrono::milliseconds attach_patience{3'000};
    // Connections that have not attached, or are being told off; the oldest goes first.
    size_t impatient_max = 256;
  };

  // `clock` and what `context` names are not owned and must outlive the loop.
  static absl::StatusOr<std::unique_ptr<TcpLoop>> Create(
      const Options& options, const TcpConnection::Context& context, const Clock* clock);
  // Closes every connection. REQUIRES: no call is under way, nor will be.
  ~TcpLoop();

  // Runs `ready` in Poll when `fd` becomes readable, and every kSweepInterval besides,
  // so that what could not be served then gets another chance. `fd` must stay open.
  absl::Status Watch(int fd, absl::AnyInvocable<void()> ready);

  // Serves a new connection; `fd` is nonblocking.
  void Adopt(UniqueFd fd) ABSL_LOCKS_EXCLUDED(mu_);
  // Cuts the connection, or its writes, and reports to the lane table.
  void Cut(TcpConnectionId connection, FenceScope scope, TcpFenceId fence)
      ABSL_LOCKS_EXCLUDED(mu_);
  // There may be more to send or receive.
  void Wake(TcpConnectionId connection) ABSL_LOCKS_EXCLUDED(mu_);
  // Nobody pins the closing connection any more.
  void Reap(TcpConnectionId connection) ABSL_LOCKS_EXCLUDED(mu_);

  void Poll(std::chrono::milliseconds wait_max) ABSL_LOCKS_EXCLUDED(mu_);

  // Adopted and not yet closed.
  size_t connections() const { return connections_.load(std::memory_order_relaxed); }

  static constexpr std::chrono::milliseconds kSweepInterval{50};

 private:
  using Task = absl::AnyInvocable<void()>;

  TcpLoop(const Options& options, const TcpConnection::Context& context, const Clock* clock,
          UniqueFd epoll, UniqueFd wake);

  void Post(Task task) ABSL_LOCKS_EXCLUDED(mu_);
  void RunTasks() ABSL_LOCKS_EXCLUDED(mu_);
  void RunReady();
  void Sweep();
  void Begin(UniqueFd fd);
  void MakeRoomForImpatient();
  void Serve(TcpConnection* connection);
  void CutNow(TcpConnectionId id, FenceScope scope, TcpFenceId fence);
  // Takes the connection out of service, and frees it unless it is pinned.
  void Close(TcpConnection* connection);
  void Free(std::unique_ptr<TcpConnection> connection);
  void Pass(TcpFenceId fence);
  TcpConnection* Find(TcpConnectionId id) const;

  const Options options_;
  const TcpConnection::Context context_;
  const Clock* const clock_;
  const UniqueFd epoll_;
  const UniqueFd wake_;  // an eventfd: tasks are there
  // Counts only: relaxed, orders nothing.
  std::atomic<size_t> connections_{0};

  // Of Poll.
  using ConnectionMap =
      absl::flat_hash_map<TcpConnectionId, std::unique_ptr<TcpConnection>>;
  ConnectionMap open_;
  ConnectionMap closing_;  // out of service, waiting for Reap
  std::vector<TcpConnectionId> ready_;      // used up their budget
  std::set<TcpConnectionId> impatient_;     // have, or had, a patience_end; oldest first
  absl::AnyInvocable<void()> watched_;
  Instant now_{};
  Instant next_sweep_{};
  uint64_t next_connection_ = 1;

  absl::Mutex mu_;
  std::vector<Task> tasks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_LOOP_H_
