#include "client/cli/buffer.h"

#include <fmt/core.h>

#include <cstring>
#include <utility>

#include "base/bytes.h"

namespace kvasir {
namespace {

constexpr size_t kPageBytes = 4096;

}  // namespace

absl::StatusOr<Buffer> Buffer::Make(Client* client, uint64_t size_bytes) {
  const uint64_t rounded_bytes = (size_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  Buffer buffer;
  buffer.memory_.reset(
      static_cast<std::byte*>(std::aligned_alloc(kPageBytes, rounded_bytes)));
  if (buffer.memory_ == nullptr) {
    return absl::ResourceExhaustedError(
        fmt::format("buffer: no memory for {}", FormatSize(rounded_bytes)));
  }
  // Touched now, so that page faults are not in anyone's measurement.
  std::memset(buffer.memory_.get(), 0, rounded_bytes);
  buffer.bytes_ = {buffer.memory_.get(), size_bytes};
  absl::StatusOr<std::unique_ptr<MemoryHandle>> handle =
      client->Register({buffer.memory_.get(), rounded_bytes});
  if (!handle.ok()) return handle.status();
  buffer.handle_ = *std::move(handle);
  return buffer;
}

}  // namespace kvasir
