#include "tests/support/fake_gate.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "base/extent.h"

namespace kvasir {
namespace {

constexpr uint64_t kExtentAlignmentBytes = 4096;

std::unique_ptr<Region> MapRegion(uint64_t size_bytes) {
  absl::StatusOr<std::unique_ptr<Region>> region =
      Region::Map({.id = RegionId{1}, .size_bytes = size_bytes});
  KV_CHECK(region.ok());
  return *std::move(region);
}

}  // namespace

FakeGate::FakeGate(uint64_t region_bytes, Epoch epoch)
    : owned_region_(MapRegion(region_bytes)), region_(owned_region_.get()), sealer_(epoch) {}

FakeGate::FakeGate(const Region* region, Epoch epoch) : region_(region), sealer_(epoch) {}

FakeGate::~FakeGate() = default;

Token FakeGate::Grant(const GrantOptions& options) {
  Token token{.access = options.access};
  {
    absl::MutexLock lock(&mu_);
    token.lease = LeaseId{next_lease_++};
    token.extent = {.region = region_->id(),
                    .offset_bytes = next_offset_bytes_,
                    .size_bytes = options.size_bytes};
    next_offset_bytes_ += (options.size_bytes + kExtentAlignmentBytes - 1) /
                          kExtentAlignmentBytes * kExtentAlignmentBytes;
    KV_CHECK(next_offset_bytes_ <= region_->bytes().size());
    leases_[token.lease] = {.checksum_seed = options.checksum_seed};
  }
  token.sealed = sealer_.Seal({.lease = token.lease,
                               .session = options.session,
                               .lane = options.lane,
                               .access = options.access,
                               .extent = token.extent,
                               .generation = 1});
  return token;
}

ServerTransport::PushItem FakeGate::PushItemOf(const Token& token) {
  return {.lease = token.lease,
          .sealed = token.sealed,
          .size_bytes = token.extent.size_bytes};
}

std::span<std::byte> FakeGate::Bytes(const Token& token) const {
  return region_->Slice(token.extent);
}

void FakeGate::End(LeaseId lease) {
  absl::MutexLock lock(&mu_);
  leases_.erase(lease);
}

void FakeGate::EndAll() {
  absl::MutexLock lock(&mu_);
  leases_.clear();
}

void FakeGate::Rewind() {
  absl::MutexLock lock(&mu_);
  next_offset_bytes_ = 0;
}

void FakeGate::Reset() {
  absl::MutexLock lock(&mu_);
  leases_.clear();
  next_offset_bytes_ = 0;
}

void FakeGate::OnAdmit(std::function<void()> hook) {
  absl::MutexLock lock(&mu_);
  on_admit_ = std::move(hook);
}

uint64_t FakeGate::admitted() const {
  absl::MutexLock lock(&mu_);
  return admitted_;
}

bool FakeGate::AwaitAdmitted(uint64_t count, std::chrono::milliseconds wait_max) const {
  const auto reached = [this, count]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return admitted_ >= count;
  };
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithTimeout(absl::Condition(&reached), absl::FromChrono(wait_max));
}

uint64_t FakeGate::refused() const {
  absl::MutexLock lock(&mu_);
  return refused_;
}

std::optional<uint64_t> FakeGate::observed_checksum(LeaseId lease) const {
  absl::MutexLock lock(&mu_);
  const auto it = leases_.find(lease);
  return it == leases_.end() ? std::nullopt : it->second.observed_checksum;
}

absl::Status FakeGate::Admit(SessionId session, LaneId lane, std::string_view sealed,
                             Access access, uint64_t offset_bytes, uint64_t size_bytes,
                             absl::FunctionRef<absl::Status(std::span<std::byte>)> copy) {
  const absl::StatusOr<TokenClaims> claims = sealer_.Open(sealed);
  std::function<void()> on_admit;
  {
    absl::MutexLock lock(&mu_);
    const bool fits = claims.ok() && claims->session == session && claims->lane == lane &&
                      claims->access == access && leases_.contains(claims->lease) &&
                      offset_bytes <= claims->extent.size_bytes &&
                      size_bytes <= claims->extent.size_bytes - offset_bytes;
    ++(fits ? admitted_ : refused_);
    if (!fits) return absl::PermissionDeniedError("admit: not under this token");
    on_admit = on_admit_;
  }
  if (on_admit != nullptr) on_admit();
  return copy(region_->Slice(claims->extent).subspan(offset_bytes, size_bytes));
}

void FakeGate::SetObservedChecksum(LeaseId lease, uint64_t checksum) {
  absl::MutexLock lock(&mu_);
  const auto it = leases_.find(lease);
  if (it != leases_.end()) it->second.observed_checksum = checksum;
}

uint64_t FakeGate::ChecksumSeedOf(LeaseId lease) {
  absl::MutexLock lock(&mu_);
  const auto it = leases_.find(lease);
  return it == leases_.end() ? 0 : it->second.checksum_seed;
}

}  // namespace kvasir
