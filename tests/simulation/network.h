#ifndef KVASIR_TESTS_SIMULATION_NETWORK_H_
#define KVASIR_TESTS_SIMULATION_NETWORK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "client/control.h"
#include "kvasir/v1/kv.pb.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/fabric.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/server.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/weather.h"

namespace kvasir::sim {

// The control plane in memory. Messages are late, lost, or arrive twice, the second time
// perhaps long after their stream, lane and session have ended. Of one stream the first
// copies keep their order; of two they do not. A stream breaks by a deadline, by a
// reset, with the server and with its client's process; the server may learn that late,
// or never.
class Network {
 public:
  struct World {
    Scheduler* scheduler = nullptr;
    Dice* dice = nullptr;
    Trace* trace = nullptr;
    Oracle* oracle = nullptr;
    const Weather* weather = nullptr;
    Fabric* fabric = nullptr;
    Server* server = nullptr;
  };
  struct Counters {
    uint64_t lost = 0, duplicated = 0, resets = 0;
    uint64_t put_off = 0;  // answers, until something has settled
  };

  explicit Network(const World& world) : world_(world) {}

  // For one process, which must outlive it.
  std::unique_ptr<ControlChannel> NewChannel(Process* process);
  // From now on no message is lost, doubled or held back.
  void CalmDown() { calm_ = true; }
  const Counters& counters() const { return counters_; }

 private:
  friend class NetworkChannel;
  friend class NetworkHeartbeat;
  friend class NetworkStream;
  enum class LinkId : uint64_t {};
  enum class CallId : uint64_t {};

  // A stream, or one unary call, and what the server knows of it.
  struct Link {
    uint64_t boot = 0;  // in which it reached the server; 0: not yet
    SessionId session;
    LaneId lane{};
    bool lane_open = false;
    Instant last_arrival;
  };
  // What the server does with a message. It calls `reply` with its answer: once, now or
  // later.
  using Reply = std::function<void(const absl::StatusOr<std::string>& answer)>;
  using AtServer = std::function<void(Link* link, const Reply& reply)>;
  struct Call {
    Scheduler::Ticket ticket{};
    absl::StatusOr<std::string> answer;
  };

  LinkId NewLink() { return LinkId{++last_id_}; }
  absl::StatusOr<std::string> RoundTrip(Process* process, LinkId link, Instant deadline,
                                        const AtServer& at_server);
  void Send(LinkId link, CallId call, const AtServer& at_server);
  void Arrive(LinkId link, CallId call, const AtServer& at_server);
  void Answer(CallId call, absl::StatusOr<std::string> answer);
  // Tells the server, if it ever learns it, that the stream is over.
  void End(LinkId link, std::function<void(const Link& link)> at_server);
  void OnLane(Link* link, const v1::LaneRequest& request, const Reply& reply);
  // What was put off, in the boot in which it was.
  void GoOnOnLane(Link* link, const v1::LaneRequest& request, uint64_t boot,
                  const Reply& reply);
  absl::StatusOr<std::string> HandleOnLane(Link* link, const v1::LaneRequest& request);
  void OpenLane(Link* link, const v1::OpenLaneRequest& open, v1::LaneResponse* response);
  BootClock::duration Delay();
  bool Strikes(uint64_t per_million);

  const World world_;
  bool calm_ = false;
  uint64_t last_id_ = 0;
  std::map<LinkId, Link> links_;
  std::map<CallId, Call> calls_;
  Counters counters_;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_NETWORK_H_
