#include "storage/io_buffers.h"

#include <fmt/core.h>
#include <sys/mman.h>

#include <cstdint>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"

namespace kvasir {
namespace {

// Twice as much is mapped, and what is not aligned given back: of either end nothing may
// be left, and munmap refuses that.
absl::StatusOr<std::span<std::byte>> Map() {
  void* const address = ::mmap(nullptr, 2 * kTierBufferBytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    return absl::ResourceExhaustedError(fmt::format("take I/O buffer: no memory for {}",
                                                    FormatSize(kTierBufferBytes)));
  }
  auto* const begin = static_cast<std::byte*>(address);
  const size_t past = reinterpret_cast<uintptr_t>(begin) % kTierBufferBytes;
  std::byte* const aligned = begin + (kTierBufferBytes - past) % kTierBufferBytes;
  (void)::munmap(begin, static_cast<size_t>(aligned - begin));
  (void)::munmap(aligned + kTierBufferBytes,
                 static_cast<size_t>(begin + kTierBufferBytes - aligned));
  (void)::madvise(aligned, kTierBufferBytes, MADV_HUGEPAGE);  // Refused: 4 KiB pages.
  return std::span(aligned, kTierBufferBytes);
}

void Unmap(std::span<std::byte> bytes) {
  KV_CHECK(::munmap(bytes.data(), bytes.size()) == 0);
}

}  // namespace

IoBuffers::Buffer::Buffer(Buffer&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)), bytes_(other.bytes_) {}

IoBuffers::Buffer::~Buffer() {
  if (owner_ != nullptr) owner_->GiveBack(bytes_);
}

IoBuffers::~IoBuffers() {
  for (std::span<std::byte> bytes : free_) Unmap(bytes);
}

absl::StatusOr<IoBuffers::Buffer> IoBuffers::Take() {
  {
    absl::MutexLock lock(&mu_);
    if (!free_.empty()) {
      const std::span<std::byte> bytes = free_.back();
      free_.pop_back();
      return Buffer(this, bytes);
    }
  }
  absl::StatusOr<std::span<std::byte>> bytes = Map();
  if (!bytes.ok()) return bytes.status();
  return Buffer(this, *bytes);
}

void IoBuffers::GiveBack(std::span<std::byte> bytes) {
  {
    absl::MutexLock lock(&mu_);
    if (free_.size() < kTierBuffersKept) {
      free_.push_back(bytes);
      return;
    }
  }
  Unmap(bytes);
}

}  // namespace kvasir
