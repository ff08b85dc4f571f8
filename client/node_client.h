#ifndef KVASIR_CLIENT_NODE_CLIENT_H_
#define KVASIR_CLIENT_NODE_CLIENT_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "base/clock.h"
#include "client/breaker.h"
#include "client/client.h"
#include "client/counters.h"
#include "client/lane_pool.h"
#include "client/node_channel.h"
#include "client/outcome.h"
#include "rdma/transport.h"

namespace kvasir {

// One node as the client sees it: a session that Step keeps alive and opens anew (at once,
// then after growing pauses), its lanes, and the breaker that answers for a node that does
// not. A batch runs on the caller's thread; without a session, or with the breaker open,
// it is answered at once and without I/O.
//
// Requests that found no node, and are safe to repeat, are repeated at most kRetriesMax
// times, with jitter, out of a budget of a tenth of the calls. A put repeats under the
// same op_id, so that what it had committed already counts as done.
//
// Threads: batches from any; Connect, Step and Close from one at a time.
class NodeClient {
 public:
  struct Options {
    std::string name;
    std::string client_name;
    std::string host_id;
    uint32_t pid = 0;
    size_t lanes_max = 4;
    bool verify_checksums = true;
    std::chrono::milliseconds reconnect_timeout{1'000};
    uint64_t seed = 1;  // of op_ids and jitter
    Breaker::Options breaker;
  };
  static constexpr int kRetriesMax = 2;

  // `ladder`: the transports to try, best first. It, `clock` and `counters` are borrowed
  // and must outlive this.
  NodeClient(const Options& options, std::unique_ptr<NodeChannel> channel,
             std::vector<ClientTransport*> ladder, const Clock* clock, Counters* counters);
  ~NodeClient();

  // Opens a session and its first lane, over the first transport of the ladder that works.
  // Unavailable or DeadlineExceeded if the node does not answer; FailedPrecondition if it
  // does and no transport works.
  absl::Status Connect(Instant deadline);
  // Sends heartbeats and releases that are due; opens a new session if there is none and
  // the last attempt was long enough ago. Waits for the node at most reconnect_timeout, or as long
  // as its silence is no reason to give it up.
  void Step();
  // Ends the session. Batches under way return; later ones find no node.
  void Close();

  // Batches of any length; `results` are aligned with them.
  void Get(std::span<const GetItem> items, const LaneClient::GetCall& call,
           std::span<KeyResult> results);
  void Get(std::span<const std::string_view> keys, Sink& sink,
           const LaneClient::GetCall& call, std::span<KeyResult> results);
  struct PutCall {
    bool replace = false;
    Durability durability = Durability::kNone;
    Instant deadline;
  };
  // Fails without asking a node that is draining.
  void Put(std::span<const PutItem> items, const PutCall& call, std::span<KeyResult> results);
  // kOk or kAbsent, or why it is not known. Returns how many keys it pinned.
  size_t Lookup(std::span<const std::string_view> keys, const LaneClient::LookupCall& call,
                std::span<KeyResult> results);
  void Remove(std::span<const std::string_view> keys, Instant deadline,
              std::span<KeyResult> results);
  absl::Status UnpinOwner(std::string_view owner, Instant deadline);

  // What people ask, past the breaker. Unavailable once closed; Ping also without a
  // session, since batches could only miss.
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix, size_t limit,
                                                Instant deadline);
  absl::Status Ping(Instant deadline);
  absl::StatusOr<std::map<std::string, double>> Stats(Instant deadline);

  const std::string& name() const { return options_.name; }
  // Of the current session.
  std::optional<TransportKind> transport() const;
  // Over how many lanes a large batch is best spread now: those that are free, up to
  // kStripesMax, where it is the client that moves and hashes the bytes (rdma); else one.
  size_t stripes_max() const;

 private:
  struct Session {
    SessionId id;
    Epoch epoch{};
    std::chrono::milliseconds beat_interval{};
    std::chrono::milliseconds silence{};
    std::unique_ptr<HeartbeatStream> heartbeat;
    Instant next_beat;
  };
  using UseLane = absl::FunctionRef<absl::Status(LaneClient& lane)>;

  absl::Status TryConnect(Instant deadline);
  absl::StatusOr<std::unique_ptr<LaneClient>> OpenFirstLane(
      const v1::OpenSessionResponse& opened, LanePool::Session* session, Instant deadline);
  absl::StatusOr<std::unique_ptr<LaneClient>> OpenLane(const LanePool::Session& session,
                                                       Instant deadline);
  void LogTransport(std::string_view line);
  void Beat(Instant now);
  void SetDraining(bool draining);
  void EndSession(std::string_view why);

  absl::Status CheckOpen() const;
  enum class Retry : uint8_t { kNo, kYes };
  absl::Status WithLane(Instant deadline, Retry retry, UseLane use);
  absl::Status AskOnce(Instant deadline, UseLane use);
  void Report(const absl::Status& status, bool lane_usable, bool patient, uint64_t term);
  bool MayRetry(const absl::Status& status, int attempt, Instant deadline);

  const Options options_;
  const std::unique_ptr<NodeChannel> channel_;
  const std::vector<ClientTransport*> ladder_;
  const Clock* const clock_;
  Counters* const counters_;

  Breaker breaker_;    // of calls
  Breaker reconnect_;  // of attempts to open a session
  // A call found the node gone; Step asks the session's heartbeat at once. Relaxed: a
  // Step that sees it late is the next Step.
  std::atomic<bool> suspect_{false};
  // The node takes nothing new, as its last beat said. Relaxed: a put that sees it late is
  // refused by the node.
  std::atomic<bool> draining_{false};
  RetryBudget budget_;
  std::atomic<uint64_t> next_op_id_;
  // A TransportKind, or kNoTransport. Relaxed: for people to look at.
  static constexpr int kNoTransport = -1;
  std::atomic<int> transport_{kNoTransport};
  absl::Notification closing_;
  LanePool pool_;

  // Of the thread that calls Connect, Step and Close.
  std::optional<Session> session_;
  Epoch last_epoch_{};
  bool was_connected_ = false;
  std::string last_transport_line_;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_NODE_CLIENT_H_
