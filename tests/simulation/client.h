#ifndef KVASIR_TESTS_SIMULATION_CLIENT_H_
#define KVASIR_TESTS_SIMULATION_CLIENT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/durability.h"
#include "base/ids.h"
#include "client/control.h"
#include "client/lane_client.h"
#include "client/outcome.h"
#include "rdma/transport.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/fabric.h"
#include "tests/simulation/network.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/values.h"
#include "tests/simulation/weather.h"

namespace kvasir::sim {

// What all clients of a world did, by outcome of each key.
struct ClientCounters {
  static constexpr size_t kOutcomes = static_cast<size_t>(Outcome::kOther) + 1;
  std::array<uint64_t, kOutcomes> gets{};
  std::array<uint64_t, kOutcomes> puts{};
  uint64_t sessions = 0, lanes = 0, pins = 0, removes = 0, put_retries = 0;
  uint64_t kills = 0, pauses = 0;

  uint64_t Gets(Outcome outcome) const { return gets[static_cast<size_t>(outcome)]; }
  uint64_t Puts(Outcome outcome) const { return puts[static_cast<size_t>(outcome)]; }
};

// One client process under the real rules of client/lane_client.h: a session with its
// heartbeat and a few lanes, each a fiber that puts, gets, pins and removes at random,
// opens what it has lost, and is paused and killed on the way.
class Client {
 public:
  struct World {
    Scheduler* scheduler = nullptr;
    Dice* dice = nullptr;
    Trace* trace = nullptr;
    Oracle* oracle = nullptr;
    Values* values = nullptr;
    const Weather* weather = nullptr;
    Fabric* fabric = nullptr;
    Network* network = nullptr;
    ClientCounters* counters = nullptr;
  };
  // `process` must outlive the client, and the client its fibers.
  Client(const World& world, Process* process);

  // Starts the lanes' fibers. They end by themselves.
  void Start();

 private:
  // A batch of keys with room for their results.
  struct Batch {
    std::vector<std::string> keys;
    std::vector<std::string_view> views;
    std::vector<KeyResult> results;
  };

  void RunLane();
  void RunHeartbeat(SessionId session, uint64_t number, BootClock::duration interval);
  std::unique_ptr<LaneClient> OpenLane();
  bool EnsureSession();
  void LoseSession(uint64_t number);
  void Goodbye();
  void Misfortune();
  void Operate(LaneClient* lane);
  void Judge(const absl::Status& status, uint64_t session_number);

  absl::Status Put(LaneClient* lane);
  absl::Status RetryPut(std::span<const PutItem> items, const LaneClient::PutCall& call,
                        std::span<KeyResult> results);
  absl::Status PutByHand();
  absl::Status GetIntoSlices(LaneClient* lane);
  absl::Status GetIntoSink(LaneClient* lane);
  absl::Status Lookup(LaneClient* lane);
  absl::Status Remove(LaneClient* lane);
  void CheckGet(const Batch& batch, const std::vector<std::string>& bytes, Instant began);

  Batch DrawBatch();
  size_t DrawBytes();
  Durability DrawDurability();
  Instant DrawDeadline();

  const World world_;
  Process* const process_;
  const std::unique_ptr<ControlChannel> channel_;
  const std::unique_ptr<ClientTransport> transport_;
  SessionId session_;
  uint64_t session_number_ = 0;  // counts the sessions
  bool has_session_ = false;
  bool opening_ = false;
  size_t lanes_running_ = 0;
  uint64_t last_op_id_ = 0;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_CLIENT_H_
