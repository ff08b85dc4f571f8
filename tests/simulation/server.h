#ifndef KVASIR_TESTS_SIMULATION_SERVER_H_
#define KVASIR_TESTS_SIMULATION_SERVER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/region.h"
#include "rdma/token.h"
#include "rdma/transport.h"
#include "service/kv_core.h"
#include "service/lease_table.h"
#include "storage/arena.h"
#include "storage/block_store.h"
#include "storage/tiered_store.h"
#include "tests/simulation/fabric.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/weather.h"

namespace kvasir::sim {

// The real server core on a simulated machine: boot after boot over one region, whose old
// bytes stay when the process dies.
class Server {
 public:
  struct World {
    Scheduler* scheduler = nullptr;
    Dice* dice = nullptr;
    Trace* trace = nullptr;
    Oracle* oracle = nullptr;
    const Weather* weather = nullptr;
    Fabric* fabric = nullptr;
    Process* process = nullptr;
    Region* region = nullptr;
  };

  explicit Server(const World& world) : world_(world) {}

  // REQUIRES: !up().
  void Start();
  // As kill -9: nothing of the process is left but the bytes in the region.
  // REQUIRES: up().
  void Crash();
  bool up() const { return boot_ != nullptr; }
  // Counts the starts.
  uint64_t boot() const { return boots_; }
  // REQUIRES: up().
  KvCore* core() { return &boot_->core; }
  TieredStore* store() { return &boot_->store; }
  const Process& process() const { return *world_.process; }

  // What is held of the arena and why, for people; empty if nothing is but published
  // blocks, and those and the free memory add up to the arena. REQUIRES: up().
  std::string Leftovers() const;
  void AddStats(KvCore::Stats* sum) const;

 private:
  struct Boot {
    Boot(const World& world, uint64_t number);
    Arena arena;
    TieredStore store;
    TokenSealer sealer;
    LeaseTable leases;
    std::unique_ptr<ServerTransport> transport;
    KvCore core;
  };
  void Step(uint64_t boot);

  const World world_;
  uint64_t boots_ = 0;
  std::unique_ptr<Boot> boot_;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_SERVER_H_
