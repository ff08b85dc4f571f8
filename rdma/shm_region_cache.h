#ifndef KVASIR_RDMA_SHM_REGION_CACHE_H_
#define KVASIR_RDMA_SHM_REGION_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/extent.h"
#include "rdma/shm_mapping.h"
#include "rdma/shm_wire.h"

namespace kvasir {

// A client's read-only mappings of its servers' regions: each region once, however many
// lanes use it, until the last of them goes. Thread-safe.
class ShmRegionCache {
 public:
  struct RegionName {
    ShmNonce server{};
    RegionId region{};
    friend auto operator<=>(const RegionName&, const RegionName&) = default;
  };
  // Keeps one mapping. Move-only. Must not outlive the cache.
  class Ref {
   public:
    Ref() = default;
    Ref(Ref&& other) noexcept { *this = std::move(other); }
    Ref& operator=(Ref&& other) noexcept;
    ~Ref();

    RegionId region() const { return name_.region; }
    std::span<const std::byte> bytes() const { return bytes_; }
    // Whether this reference made the mapping: its page tables are still empty.
    bool fresh() const { return fresh_; }

   private:
    friend class ShmRegionCache;
    ShmRegionCache* cache_ = nullptr;
    RegionName name_;
    std::span<const std::byte> bytes_;
    bool fresh_ = false;
  };

  ShmRegionCache() = default;
  ~ShmRegionCache();

  // The mapping of the region, made from `memfd` if there is none yet. Errors as
  // ShmMapping::Map; FailedPrecondition also if the region was mapped with another size.
  absl::StatusOr<Ref> Acquire(const RegionName& name, int memfd, uint64_t size_bytes)
      ABSL_LOCKS_EXCLUDED(mu_);
  size_t mapped_regions() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    ShmMapping mapping;
    size_t references = 0;
  };
  void Release(const RegionName& name) ABSL_LOCKS_EXCLUDED(mu_);

  mutable absl::Mutex mu_;
  std::map<RegionName, Entry> entries_ ABSL_GUARDED_BY(mu_);
};

// Enters pages that the server has faulted in already into this process's page tables, in
// bounded steps until `stop`, so that first gets do not pay for it (a 4 KiB page: 0.5
// us). What is left over is entered by the gets that touch it. Returns the bytes done.
uint64_t PopulateShmPages(std::span<const std::byte> bytes, const Clock* clock,
                          Instant stop);

}  // namespace kvasir

#endif  // KVASIR_RDMA_SHM_REGION_CACHE_H_
