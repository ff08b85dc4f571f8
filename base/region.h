#ifndef KVASIR_BASE_REGION_H_
#define KVASIR_BASE_REGION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/extent.h"
#include "base/fd.h"

namespace kvasir {

// One large mapping that blocks live in: memfd-backed, huge pages if available, bound
// to one NUMA node, pre-faulted, left out of core dumps. Fixed address and size for
// its lifetime. Immutable after Map; thread-safe (the bytes are the users' affair).
class Region {
 public:
  struct Options {
    RegionId id{};
    uint64_t size_bytes = 0;  // rounded up to the page size in use
    int numa_node = -1;       // -1: no binding
    // Runs from time to time while pages are faulted in, with the bytes done so far.
    // May be null.
    absl::FunctionRef<void(uint64_t done_bytes, uint64_t total_bytes)>* progress = nullptr;
  };

  // Maps and pre-faults. ResourceExhausted if the pages cannot be had, with the bytes
  // asked for and the bytes available; InvalidArgument for size 0 or a NUMA node that
  // this machine does not have.
  static absl::StatusOr<std::unique_ptr<Region>> Map(const Options& options);
  ~Region();

  RegionId id() const { return id_; }
  // Sealed against shrinking, growing, and every writable mapping but this one
  // (F_SEAL_FUTURE_WRITE), so it may be handed to readers. Owned by the region.
  int memfd() const { return memfd_.get(); }
  std::span<std::byte> bytes() const { return bytes_; }
  // "2 MiB huge pages", "transparent huge pages" or "4 KiB pages", for the banner.
  const std::string& page_kind() const { return page_kind_; }
  // REQUIRES: `extent.region == id()` and the extent lies inside the region.
  std::span<std::byte> Slice(const Extent& extent) const;

 private:
  Region(RegionId id, UniqueFd memfd, std::span<std::byte> bytes, std::string page_kind);

  const RegionId id_;
  const UniqueFd memfd_;
  const std::span<std::byte> bytes_;
  const std::string page_kind_;
};

}  // namespace kvasir

#endif  // KVASIR_BASE_REGION_H_
