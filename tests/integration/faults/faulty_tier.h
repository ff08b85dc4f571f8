#ifndef KVASIR_TESTS_INTEGRATION_FAULTS_FAULTY_TIER_H_
#define KVASIR_TESTS_INTEGRATION_FAULTS_FAULTY_TIER_H_

#include <memory>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "storage/tier.h"
#include "tests/integration/faults/faults.h"
#include "tests/support/tier_decorator.h"

namespace kvasir {

// A tier that passes the failpoints around its calls, and that lies if it is told to.
class FaultyTier final : public TierDecorator {
 public:
  // `faults` is not owned and must outlive it.
  FaultyTier(std::unique_ptr<Tier> below, Faults* faults)
      : TierDecorator(below.get()), below_(std::move(below)), faults_(faults) {}

  absl::Status Store(std::span<const Record> batch, Durability durability) override;
  void Load(std::span<Read> batch) override;
  absl::Status Delete(std::span<const Tombstone> batch) override;

 private:
  const std::unique_ptr<Tier> below_;
  Faults* const faults_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_INTEGRATION_FAULTS_FAULTY_TIER_H_
