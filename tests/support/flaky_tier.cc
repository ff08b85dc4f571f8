#include "tests/support/flaky_tier.h"

#include <utility>

namespace kvasir {

using absl::MutexLock;

void FlakyTier::FailStores(absl::Status status) {
  MutexLock lock(&mu_);
  store_fault_ = std::move(status);
}

void FlakyTier::FailLoads(absl::Status status) {
  MutexLock lock(&mu_);
  load_fault_ = std::move(status);
}

void FlakyTier::FailDeletes(absl::Status status) {
  MutexLock lock(&mu_);
  delete_fault_ = std::move(status);
}

absl::Status FlakyTier::Meet(absl::Status FlakyTier::*fault) {
  const int64_t latency_ns = latency_ns_;
  if (clock_ != nullptr && latency_ns != 0) {
    clock_->Advance(BootClock::duration(latency_ns));
  }
  MutexLock lock(&mu_);
  return this->*fault;
}

absl::Status FlakyTier::Store(std::span<const Record> batch, Durability durability) {
  stored_blocks_ += batch.size();
  const absl::Status fault = Meet(&FlakyTier::store_fault_);
  return fault.ok() ? TierDecorator::Store(batch, durability) : fault;
}

void FlakyTier::Load(std::span<Read> batch) {
  loaded_blocks_ += batch.size();
  const absl::Status fault = Meet(&FlakyTier::load_fault_);
  if (fault.ok()) return TierDecorator::Load(batch);
  for (Read& read : batch) read.status = fault;
}

absl::Status FlakyTier::Delete(std::span<const Tombstone> batch) {
  deleted_blocks_ += batch.size();
  const absl::Status fault = Meet(&FlakyTier::delete_fault_);
  return fault.ok() ? TierDecorator::Delete(batch) : fault;
}

}  // namespace kvasir
