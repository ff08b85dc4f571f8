#ifndef KVASIR_TESTS_SIMULATION_DISK_H_
#define KVASIR_TESTS_SIMULATION_DISK_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/durability.h"
#include "base/executor.h"
#include "storage/tier.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/weather.h"
#include "tests/support/fake_tier.h"

namespace kvasir::sim {

// The disk tier of the simulated server, and the threads that work for it. It outlives
// the server's process: what was durable when that died is there when it starts again.
//
// Each task of the store runs on a fiber of the server's process. A call takes its time
// before it takes effect, and again before it returns, so that anything may happen in
// between; it may fail; and when the process dies it ends wherever it is, having taken
// effect or not, as a whole.
class Disk final : public Tier {
 public:
  struct World {
    Scheduler* scheduler = nullptr;
    Dice* dice = nullptr;
    Trace* trace = nullptr;
    Oracle* oracle = nullptr;
    const Weather* weather = nullptr;
    Process* server = nullptr;
  };
  struct Counters {
    uint64_t stores = 0, loads = 0, deletes = 0;  // blocks
    uint64_t failures = 0;                        // calls
    uint64_t cut_off = 0;                         // calls that a death has ended
  };

  explicit Disk(const World& world);

  // For the server's store; stops accepting while the server is down.
  Executor* executor() { return &executor_; }

  // The server's process dies: its tasks end at once, and nothing of them reaches the
  // disk any more. REQUIRES: not called from a fiber.
  void Die();
  // What is left then. With kNone it was stopped in good order, and all is.
  void Recover(Durability survives);

  // From now on nothing fails or is slow.
  void CalmDown() { calm_ = true; }
  const Counters& counters() const { return counters_; }

  // Tier.
  absl::Status Store(std::span<const Record> batch, Durability durability) override;
  void Load(std::span<Read> batch) override;
  absl::Status Delete(std::span<const Tombstone> batch) override;
  std::optional<TierBlock> Find(std::string_view key) const override {
    return below_.Find(key);
  }
  std::vector<Listed> List(std::string_view prefix, std::string_view after,
                           size_t limit) const override {
    return below_.List(prefix, after, limit);
  }
  uint64_t generation_max() const override { return below_.generation_max(); }
  Stats stats() const override { return below_.stats(); }

 private:
  class Threads final : public Executor {
   public:
    explicit Threads(Disk* disk) : disk_(disk) {}
    bool Submit(absl::AnyInvocable<void() &&> task) override;

   private:
    Disk* const disk_;
  };

  bool Strikes(uint64_t per_million) const;
  // Lets time pass. False if the process died meanwhile.
  bool Wait();
  // The same, and then a failure, perhaps.
  absl::Status Meet(std::string_view verb, uint64_t fails);
  uint64_t VersionOf(std::string_view key, uint64_t generation) const;
  // Tells the oracle of blocks among `before` that are not there any more.
  void TellDropped(std::span<const Listed> before);

  const World world_;
  FakeTier below_;
  Threads executor_;
  bool calm_ = false;
  bool up_ = true;
  uint64_t boot_ = 0;  // counts the deaths
  // What each block that was ever stored is.
  std::map<std::pair<std::string, uint64_t>, uint64_t> versions_;
  Counters counters_;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_DISK_H_
