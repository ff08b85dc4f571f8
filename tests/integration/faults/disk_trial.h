#ifndef KVASIR_TESTS_INTEGRATION_FAULTS_DISK_TRIAL_H_
#define KVASIR_TESTS_INTEGRATION_FAULTS_DISK_TRIAL_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/durability.h"
#include "client/client.h"
#include "storage/tier_health.h"
#include "tests/support/server_process.h"

namespace kvasir {

// The real server over a disk that a test makes fail, and the blocks that it has promised
// to keep. All blocks are of one size, and their bytes follow from their keys.
//
// Threads: one.
class DiskTrial {
 public:
  struct Options {
    std::string data_dir;
    std::string faults;  // the directory of those of faulty_kvasird
  };
  explicit DiskTrial(const Options& options) : options_(options) {}

  // Starts the server, for the first time or after Kill, and connects to it.
  absl::Status Start();
  void Kill();

  // Puts a block that is new, and remembers what was promised of it. How it ended.
  absl::Status Put(Durability durability, std::chrono::milliseconds timeout) {
    return PutNew(1, {.timeout = timeout, .durability = durability});
  }
  absl::Status Put(Durability durability) { return PutNew(1, {.durability = durability}); }
  // Durable puts, many at a time. OK, else how the first that was not has ended.
  absl::Status PutDurably(size_t count);
  // More than memory holds of them: so the first are on disk alone.
  absl::Status PutMoreThanMemoryHolds();
  // Removes the block that was put last.
  absl::Status RemoveLast();

  // Looks at every block that was ever put: wrong bytes, a promise that is not kept, a
  // block that was removed, of each a line. Empty if all is well.
  std::string Look();
  // Whether the block that was put as the `index`-th is a hit, of the right bytes. Those
  // of PutMoreThanMemoryHolds are on disk alone at first, up to half of them.
  bool IsAHit(size_t index, std::chrono::milliseconds timeout);
  bool LastIsAHit(std::chrono::milliseconds timeout) {
    return IsAHit(blocks_.size() - 1, timeout);
  }

  // Asks, and nothing else, until the disk tier is in that state. Returns what /readyz
  // says then, or that it has not come within `patience`.
  std::string Await(TierState state, std::chrono::milliseconds patience);
  // What `kvasir info` prints.
  std::string Info() const;
  double Metric(const std::string& name);
  std::string log() const { return server_->log(); }

 private:
  struct Block {
    std::string key;
    bool promised = false;  // to be there after a crash
    bool removed = false;
  };
  // Puts `count` blocks that are new with one call. How the first that was not OK ended.
  absl::Status PutNew(size_t count, const PutOptions& options);

  const Options options_;
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<Client> client_;
  std::vector<Block> blocks_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_INTEGRATION_FAULTS_DISK_TRIAL_H_
