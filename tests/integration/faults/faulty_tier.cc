#include "tests/integration/faults/faulty_tier.h"

namespace kvasir {

absl::Status FaultyTier::Store(std::span<const Record> batch, Durability durability) {
  faults_->Pass(FailPoint::kStoreBegun);
  const bool lies =
      durability != Durability::kNone && faults_->IsOn(Fault::kEarlyAcknowledgement);
  const absl::Status status = lies ? absl::OkStatus() : TierDecorator::Store(batch, durability);
  faults_->Pass(FailPoint::kStoreDone);
  return status;
}

void FaultyTier::Load(std::span<Read> batch) {
  TierDecorator::Load(batch);
  faults_->Pass(FailPoint::kLoadDone);
}

absl::Status FaultyTier::Delete(std::span<const Tombstone> batch) {
  faults_->Pass(FailPoint::kDeleteBegun);
  const bool lies = faults_->IsOn(Fault::kForgottenRemoval);
  const absl::Status status = lies ? absl::OkStatus() : TierDecorator::Delete(batch);
  faults_->Pass(FailPoint::kDeleteDone);
  return status;
}

}  // namespace kvasir
