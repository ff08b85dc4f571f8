#include "client/staging_pool.h"

#include <fmt/core.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "absl/time/time.h"
#include "base/check.h"
#include "base/fd.h"

namespace kvasir {

struct StagingPool::Slot {
  std::span<std::byte> bytes;  // empty until first taken
  std::unique_ptr<MemoryRegion> registration;

  ~Slot() {
    registration.reset();
    if (!bytes.empty()) munmap(bytes.data(), bytes.size());
  }
};

StagingPool::Buffer::~Buffer() {
  if (pool_ != nullptr) pool_->Return(slot_);
}

std::span<std::byte> StagingPool::Buffer::bytes() const { return pool_->slots_[slot_].bytes; }

StagingPool::StagingPool(const Options& options, ClientTransport* transport,
                         const Clock* clock)
    : options_(options),
      transport_(transport),
      clock_(clock),
      slots_(std::make_unique<Slot[]>(options.buffers_max)) {
  absl::MutexLock lock(&mu_);
  for (size_t i = options_.buffers_max; i > 0; --i) free_.push_back(i - 1);
}

StagingPool::~StagingPool() { KV_CHECK(in_use() == 0); }

absl::StatusOr<StagingPool::Buffer> StagingPool::Take(uint64_t size_bytes, Instant deadline) {
  if (size_bytes > options_.buffer_bytes) {
    return absl::InvalidArgumentError(fmt::format("stage: {} bytes exceed a buffer of {}",
                                                  size_bytes, options_.buffer_bytes));
  }
  size_t slot = 0;
  {
    absl::MutexLock lock(&mu_);
    const auto left = std::max(deadline - clock_->Now(), BootClock::duration::zero());
    const auto any = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !free_.empty(); };
    if (!mu_.AwaitWithTimeout(absl::Condition(&any), absl::FromChrono(left))) {
      return absl::DeadlineExceededError(
          fmt::format("stage: all {} buffers are in use", options_.buffers_max));
    }
    slot = free_.back();
    free_.pop_back();
  }
  Buffer buffer(this, slot);
  if (absl::Status status = Make(&slots_[slot]); !status.ok()) return status;
  return buffer;
}

absl::Status StagingPool::Make(Slot* slot) {
  if (slot->registration != nullptr) return absl::OkStatus();
  if (slot->bytes.empty()) {
    void* const address = mmap(nullptr, options_.buffer_bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) return ErrnoStatus(errno, "stage: map a buffer");
    slot->bytes = {static_cast<std::byte*>(address), options_.buffer_bytes};
  }
  absl::StatusOr<std::unique_ptr<MemoryRegion>> made = transport_->Register(slot->bytes);
  if (!made.ok()) return made.status();
  slot->registration = *std::move(made);
  return absl::OkStatus();
}

void StagingPool::Return(size_t slot) {
  absl::MutexLock lock(&mu_);
  free_.push_back(slot);
}

size_t StagingPool::in_use() const {
  absl::MutexLock lock(&mu_);
  return options_.buffers_max - free_.size();
}

}  // namespace kvasir
