#ifndef KVASIR_TESTS_STORAGE_TIER_CONTRACT_H_
#define KVASIR_TESTS_STORAGE_TIER_CONTRACT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "storage/tier.h"
#include "tests/storage/tier_batch.h"

// The contract of storage/tier.h as tests. Every tier passes it:
//
//   INSTANTIATE_TEST_SUITE_P(Fake, TierContract,
//                            testing::Values(TierContractParam{.name = ..., .make = ...}));
namespace kvasir {

// One tier and the place where it keeps things.
class TierHost {
 public:
  virtual ~TierHost() = default;
  // Valid until Reopen.
  virtual Tier* tier() = 0;
  // Stops the tier and opens it again where it was.
  virtual void Reopen() = 0;
};

struct TierContractParam {
  std::string name;
  // A new, empty tier with this budget.
  std::function<std::unique_ptr<TierHost>(uint64_t capacity_bytes)> make;

  // For gtest's names.
  friend std::ostream& operator<<(std::ostream& out, const TierContractParam& param) {
    return out << param.name;
  }
};

class TierContract : public testing::TestWithParam<TierContractParam> {
 protected:
  static constexpr uint64_t kCapacityBytes = uint64_t{256} << 20;

  // Starts anew with another budget.
  void Make(uint64_t capacity_bytes) { host_ = GetParam().make(capacity_bytes); }
  Tier* tier() { return host_->tier(); }
  void Reopen() { host_->Reopen(); }

  absl::Status Store(const TierBatch& batch, Durability durability = Durability::kNone);
  absl::Status StoreOne(const std::string& key, uint64_t generation, size_t size_bytes,
                        Durability durability = Durability::kNone);
  absl::Status DeleteOne(std::string_view key, uint64_t generation);
  // 0 if there is none.
  uint64_t GenerationOf(std::string_view key);
  // Loads what Find tells of the key; NotFound if it tells of none.
  absl::Status Load(std::string_view key);
  // Loads that generation, whatever Find tells.
  absl::Status LoadGeneration(std::string_view key, uint64_t generation,
                              size_t size_bytes);
  std::vector<std::string> Keys(std::string_view prefix, std::string_view after,
                                size_t limit);

 private:
  std::unique_ptr<TierHost> host_ = GetParam().make(kCapacityBytes);
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_STORAGE_TIER_CONTRACT_H_
