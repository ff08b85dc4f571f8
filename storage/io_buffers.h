#ifndef KVASIR_STORAGE_IO_BUFFERS_H_
#define KVASIR_STORAGE_IO_BUFFERS_H_

#include <cstddef>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace kvasir {

// Buffers for reads and writes past the page cache. Each is one huge page, if the system
// gives such, so that the disk sees one piece of memory where it would see 512: on a
// virtual disk that is most of what a request costs (docs/disk_format.md). Where there are
// no huge pages they are ordinary memory.
//
// Threads: any. Bounds: a thread holds what it takes; up to kTierBuffersKept more are kept.
class IoBuffers {
 public:
  // One buffer, until it goes. Movable.
  class Buffer {
   public:
    Buffer(Buffer&& other) noexcept;
    Buffer& operator=(Buffer&&) = delete;
    ~Buffer();
    // Of kTierBufferBytes, aligned to their size; what is in them is left from before.
    std::span<std::byte> bytes() const { return bytes_; }

   private:
    friend class IoBuffers;
    Buffer(IoBuffers* owner, std::span<std::byte> bytes) : owner_(owner), bytes_(bytes) {}
    IoBuffers* owner_;  // null: moved from
    std::span<std::byte> bytes_;
  };

  IoBuffers() = default;
  // REQUIRES: no buffer is held.
  ~IoBuffers();
  IoBuffers(const IoBuffers&) = delete;
  IoBuffers& operator=(const IoBuffers&) = delete;

  // ResourceExhausted if the system gives no memory.
  absl::StatusOr<Buffer> Take();

 private:
  void GiveBack(std::span<std::byte> bytes);

  absl::Mutex mu_;
  std::vector<std::span<std::byte>> free_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_IO_BUFFERS_H_
