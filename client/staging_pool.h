#ifndef KVASIR_CLIENT_STAGING_POOL_H_
#define KVASIR_CLIENT_STAGING_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "rdma/transport.h"

namespace kvasir {

// A bounded set of buffers that are registered with one transport, for bytes on their way
// to or from memory that is not. Buffers are made when first needed and then kept.
// Thread-safe.
class StagingPool {
 public:
  struct Options {
    size_t buffers_max = 16;
    uint64_t buffer_bytes = 40 * 1000 * 1000;
  };

  // A buffer in somebody's hands. Move-only; goes back to the pool when it dies. Must
  // not outlive the pool.
  class Buffer {
   public:
    Buffer(Buffer&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), slot_(other.slot_) {}
    Buffer& operator=(Buffer&&) = delete;
    ~Buffer();
    std::span<std::byte> bytes() const;

   private:
    friend class StagingPool;
    Buffer(StagingPool* pool, size_t slot) : pool_(pool), slot_(slot) {}
    StagingPool* pool_;
    size_t slot_;
  };

  // `transport` and `clock` must outlive the pool.
  StagingPool(const Options& options, ClientTransport* transport, const Clock* clock);
  ~StagingPool();

  // A buffer of at least `size_bytes`, waiting for one if all are in use. InvalidArgument
  // at once if no buffer is that large; DeadlineExceeded if none came back in time; else
  // what the transport says of memory that it could not register. Holds nothing then.
  absl::StatusOr<Buffer> Take(uint64_t size_bytes, Instant deadline)
      ABSL_LOCKS_EXCLUDED(mu_);

  uint64_t buffer_bytes() const { return options_.buffer_bytes; }
  size_t in_use() const ABSL_LOCKS_EXCLUDED(mu_);

  // What has gone through these buffers, for counters().
  void CountStaged(uint64_t bytes) { staged_bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  uint64_t staged_bytes() const { return staged_bytes_.load(std::memory_order_relaxed); }

 private:
  struct Slot;
  absl::Status Make(Slot* slot);
  void Return(size_t slot) ABSL_LOCKS_EXCLUDED(mu_);

  const Options options_;
  ClientTransport* const transport_;
  const Clock* const clock_;
  // A slot's inside belongs to who holds it.
  const std::unique_ptr<Slot[]> slots_;
  std::atomic<uint64_t> staged_bytes_{0};  // relaxed: guards nothing

  mutable absl::Mutex mu_;
  std::vector<size_t> free_ ABSL_GUARDED_BY(mu_);  // last in, first out: warm
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_STAGING_POOL_H_
