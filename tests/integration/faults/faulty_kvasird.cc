// kvasird over a disk tier that dies, fails and lies as a test tells it to (faults.h). In
// all else it is the product's.

#include <memory>
#include <utility>

#include "base/deadlock_detection.h"
#include "service/kvasird.h"
#include "service/rocks_opener.h"
#include "storage/rocks_tier.h"
#include "tests/integration/faults/faults.h"
#include "tests/integration/faults/faulty_file_system.h"
#include "tests/integration/faults/faulty_tier.h"

namespace kvasir {
namespace {

int Main(int argc, char** argv) {
  StopDeadlockDetection();
  Faults faults = Faults::FromEnvironment();
  const std::unique_ptr<rocksdb::Env> env = NewFaultyEnv(&faults);
  const auto open = [&](const Config& config, const NodeTier::Executors& executors,
                        const NodeTier::Progress& progress)
      -> absl::StatusOr<std::unique_ptr<Tier>> {
    RocksTierOptions options = TierOptions(config, executors);
    options.env = env.get();
    absl::StatusOr<std::unique_ptr<RocksTier>> tier = RocksTier::Open(options, progress);
    if (!tier.ok()) return tier.status();
    return std::make_unique<FaultyTier>(*std::move(tier), &faults);
  };
  return RunKvasird(argc, argv, open);
}

}  // namespace
}  // namespace kvasir

int main(int argc, char** argv) { return kvasir::Main(argc, argv); }
