#include <memory>
#include <utility>

#include "gtest/gtest.h"
#include "tests/storage/tier_contract.h"
#include "tests/support/fake_tier.h"

namespace kvasir {
namespace {

class FakeTierHost final : public TierHost {
 public:
  explicit FakeTierHost(uint64_t capacity_bytes) : tier_(capacity_bytes) {}
  Tier* tier() override { return &tier_; }
  void Reopen() override { tier_.Crash({.survives = Durability::kNone}); }

 private:
  FakeTier tier_;
};

INSTANTIATE_TEST_SUITE_P(
    Fake, TierContract,
    testing::Values(TierContractParam{.name = "Fake", .make = [](uint64_t capacity_bytes) {
                                        return std::make_unique<FakeTierHost>(
                                            capacity_bytes);
                                      }}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace kvasir
