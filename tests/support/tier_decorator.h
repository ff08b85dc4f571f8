#ifndef KVASIR_TESTS_SUPPORT_TIER_DECORATOR_H_
#define KVASIR_TESTS_SUPPORT_TIER_DECORATOR_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "storage/tier.h"

namespace kvasir {

// A tier that is another one, but for what a subclass does differently.
//
// Threads: as the tier below has them.
class TierDecorator : public Tier {
 public:
  // `below` is not owned and must outlive this.
  explicit TierDecorator(Tier* below) : below_(below) {}

  absl::Status Store(std::span<const Record> batch, Durability durability) override {
    return below_->Store(batch, durability);
  }
  absl::Status Promise(std::string_view key, uint64_t generation) override {
    return below_->Promise(key, generation);
  }
  void Load(std::span<Read> batch) override { below_->Load(batch); }
  absl::Status Delete(std::span<const Tombstone> batch) override {
    return below_->Delete(batch);
  }
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
  Tier* const below_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_TIER_DECORATOR_H_
