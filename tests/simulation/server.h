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
#include "tests/simulation/disk.h"
#include "tests/simulation/fabric.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/weather.h"

namespace kvasir::sim {

// The real server core on a simulated machine: boot after boot over one region, whose old
// bytes stay when the process dies, and one disk.
class Server final : public Oracle::Facts {
 public:
  struct World {
    Scheduler* scheduler = nullptr;
    Dice* dice = nullptr;
    Trace* trace = nullptr;
    Oracle* oracle = nullptr;
    const Weather* weather = nullptr;
    Fabric* fabric = nullptr;
    Disk* disk = nullptr;
    Process* process = nullptr;
    Region* region = nullptr;
  };

  explicit Server(const World& world) : world_(world) {}

  // REQUIRES: !up().
  void Start();
  // As kill -9: nothing of the process is left but the bytes in the region, and on the
  // disk what was durable. REQUIRES: up().
  void Crash();
  // For the end of a node that takes no writes any more: moves on what the disk does not
  // have yet. True once there is nothing left to wait for. REQUIRES: up().
  bool Save();
  // As Crash, but in good order: the disk keeps all that it has. REQUIRES: up().
  void Stop();
  bool up() const { return boot_ != nullptr && !dying_; }
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

  // Oracle::Facts. REQUIRES: up().
  bool CanRead(SessionId session, LaneId lane) const override;
  bool IsLive(SessionId session) const override;
  bool IsResident(std::string_view key) const override;
  std::optional<uint64_t> OffsetOf(std::string_view key) const override;

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
  void End(Durability disk_survives);
  std::string LeftBelow() const;

  const World world_;
  uint64_t boots_ = 0;
  bool dying_ = false;
  Durability disk_survives_ = Durability::kNone;  // of the last end
  std::unique_ptr<Boot> boot_;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_SERVER_H_
