#ifndef KVASIR_TESTS_SIMULATION_SIMULATION_H_
#define KVASIR_TESTS_SIMULATION_SIMULATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "service/kv_core.h"
#include "tests/simulation/client.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/fabric.h"
#include "tests/simulation/network.h"
#include "tests/simulation/oracle.h"

namespace kvasir::sim {

struct SimulateOptions {
  uint64_t seed = 0;
  bool trace = false;
  bool damage = true;  // packets may arrive, and blocks be on disk, with a bit flipped
};

// What one simulated world came to.
struct Report {
  SimulateOptions options;
  std::vector<std::string> violations;
  std::string trace;  // empty unless asked for
  // Of two runs of one seed, equal.
  uint64_t fingerprint = 0;

  uint64_t events = 0;
  uint64_t restarts = 0;
  ClientCounters clients;
  Fabric::Counters fabric;
  Disk::Counters disk;
  Network::Counters network;
  Oracle::Seen oracle;
  KvCore::Stats core;  // totals of its counters over all boots that ended well

  // Adds the counters of `other`.
  void Add(const Report& other);
  // A few lines for people.
  std::string Summary() const;
};

// Builds the world of a seed, runs it until every client has ended and 31 seconds more,
// and says what it saw. The same seed does the same each time.
Report Simulate(const SimulateOptions& options);

// What a person needs to see of a seed that failed: its violations and the end of its
// trace, from a second run.
std::string Explain(const Report& report);

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_SIMULATION_H_
