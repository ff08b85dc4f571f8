#ifndef KVASIR_TESTS_INTEGRATION_FAULTS_FAULTY_TIER_H_
#define KVASIR_TESTS_INTEGRATION_FAULTS_FAULTY_TIER_H_

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "storage/tier.h"
#include "tests/integration/faults/faults.h"

namespace kvasir {

// A tier that passes the failpoints around its calls, and that lies if it is told to.
class FaultyTier final : public Tier {
 public:
  // `faults` is not owned and must outlive it.
  FaultyTier(std::unique_ptr<Tier> below, Faults* faults)
      : below_(std::move(below)), faults_(faults) {}

  absl::Status Store(std::span<const Record> batch, Durability durability) override;
  void Load(std::span<Read> batch) override;
  absl::Status Delete(std::span<const Tombstone> batch) override;
  std::optional<TierBlock> Find(std::string_view key) const override {
    return below_->Find(key);
  }
  std::vector<Listed> List(std::string_view prefix, std::string_view after,
                           size_t limit) const override {
    return below_->List(prefix, after, limit);
  }
  uint64_t generation_max() const override { return below_->generation_max(); }
  Stats stats() const override { return below_->stats(); }

 private:
  const std::unique_ptr<Tier> below_;
  Faults* const faults_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_INTEGRATION_FAULTS_FAULTY_TIER_H_
