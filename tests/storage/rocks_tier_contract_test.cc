#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/executor.h"
#include "gtest/gtest.h"
#include "storage/rocks_tier.h"
#include "tests/storage/tier_contract.h"
#include "tests/storage/tier_files.h"

namespace kvasir {
namespace {

class RocksTierHost final : public TierHost {
 public:
  RocksTierHost(RocksTierOptions options, bool parallel) : options_(std::move(options)) {
    options_.directory = files_.tier();
    if (parallel) options_.readers = options_.writers = &threads_;
    options_.readers_max = 4;
    Open();
  }
  Tier* tier() override { return tier_.get(); }
  void Reopen() override {
    tier_.reset();
    Open();
  }

 private:
  void Open() {
    absl::StatusOr<std::unique_ptr<RocksTier>> tier = RocksTier::Open(options_, {});
    EXPECT_TRUE(tier.ok()) << tier.status();
    KV_CHECK(tier.ok());
    tier_ = *std::move(tier);
  }

  const TierFiles files_;
  ThreadPool threads_{{.name = "tier-threads", .threads = 4}};
  RocksTierOptions options_;
  std::unique_ptr<RocksTier> tier_;
};

TierContractParam Rocks(std::string name, RocksTierOptions options, bool parallel) {
  return {.name = std::move(name), .make = [=](uint64_t capacity_bytes) {
            RocksTierOptions sized = options;
            sized.capacity_bytes = capacity_bytes;
            return std::make_unique<RocksTierHost>(sized, parallel);
          }};
}

INSTANTIATE_TEST_SUITE_P(
    Rocks, TierContract,
    testing::Values(Rocks("Direct", {}, true),
                    Rocks("BufferedOneByOne",
                          {.direct_reads = false, .direct_writes = false}, false),
                    // A segment takes a few blocks only.
                    Rocks("SmallSegments", {.segment_bytes = 200'000}, true)),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace kvasir
