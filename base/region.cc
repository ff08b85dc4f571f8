#include "base/region.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <numa.h>
#include <numaif.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/memory_limit.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010  // Linux 5.1
#endif

namespace kvasir {
namespace {

constexpr uint64_t kSmallPageBytes = 4 * kKiB;
constexpr uint64_t kHugePageBytes = 2 * kMiB;
constexpr uint64_t kPopulateStepBytes = 256 * kMiB;

uint64_t RoundUp(uint64_t value, uint64_t step) { return (value + step - 1) / step * step; }

// A number from a file of the kernel's, such as "MemAvailable:  123 kB"; 0 if absent.
uint64_t ReadNumberAfter(const char* path, std::string_view name) {
  std::ifstream in(path);
  std::string word;
  while (in >> word) {
    if (!name.empty() && word != name) continue;
    if (!name.empty()) in >> word;
    return std::strtoull(word.c_str(), nullptr, 10);
  }
  return 0;
}

uint64_t FreeHugePageBytes() {
  return kHugePageBytes *
         ReadNumberAfter("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "");
}

absl::Status CheckRequest(const Region::Options& options) {
  if (options.size_bytes == 0) {
    return absl::InvalidArgumentError("map region: size is 0 bytes");
  }
  if (options.numa_node >= 0 &&
      (numa_available() < 0 ||
       numa_bitmask_isbitset(numa_nodes_ptr, static_cast<unsigned>(options.numa_node)) == 0)) {
    return absl::InvalidArgumentError(
        fmt::format("map region: NUMA node {} does not exist", options.numa_node));
  }
  // Beyond a container's limit the kernel would kill the process instead of refusing. Its
  // huge pages have a limit of their own.
  const MemoryLimit container = ReadMemoryLimit();
  const uint64_t small = std::min(kKiB * ReadNumberAfter("/proc/meminfo", "MemAvailable:"),
                                  container.free_bytes);
  // One or the other and not their sum: a region is of one kind of page throughout.
  const uint64_t available = std::max(small, FreeHugePageBytes());
  if (options.size_bytes > available) {
    return absl::ResourceExhaustedError(fmt::format(
        "map region: {} asked for, {} available{}", FormatSize(options.size_bytes),
        FormatSize(available),
        container.limit_bytes == UINT64_MAX
            ? ""
            : fmt::format(" within the container's {}", FormatSize(container.limit_bytes))));
  }
  return absl::OkStatus();
}

absl::Status Bind(std::span<std::byte> bytes, int numa_node) {
  if (numa_node < 0) return absl::OkStatus();
  bitmask* const nodes = numa_allocate_nodemask();
  numa_bitmask_setbit(nodes, static_cast<unsigned>(numa_node));
  const long bound = mbind(bytes.data(), bytes.size(), MPOL_BIND, nodes->maskp,
                           nodes->size + 1, MPOL_MF_STRICT);
  const int error = errno;
  numa_free_nodemask(nodes);
  if (bound == 0) return absl::OkStatus();
  return ErrnoStatus(error, fmt::format("map region: bind {} to NUMA node {}",
                                        FormatSize(bytes.size()), numa_node));
}

// EFAULT is where a touch would be SIGBUS: no page is left, as on a node whose huge pages
// are in use although others have some.
absl::Status CannotFault(int error, uint64_t done_bytes, uint64_t size_bytes) {
  return ErrnoStatus(error == EFAULT ? ENOMEM : error,
                     fmt::format("map region: {} asked for, {} faulted in",
                                 FormatSize(size_bytes), FormatSize(done_bytes)));
}

absl::Status Populate(std::span<std::byte> bytes, const Region::Options& options) {
  for (uint64_t done = 0; done < bytes.size();) {
    const uint64_t step = std::min<uint64_t>(kPopulateStepBytes, bytes.size() - done);
    std::byte* const from = bytes.data() + done;
    if (madvise(from, step, MADV_POPULATE_WRITE) != 0) {
      if (errno != EINVAL) return CannotFault(errno, done, bytes.size());
      for (uint64_t page = 0; page < step; page += kSmallPageBytes) from[page] = std::byte{0};
    }
    done += step;
    if (options.progress != nullptr) (*options.progress)(done, bytes.size());
  }
  return absl::OkStatus();
}

}  // namespace

Region::Region(RegionId id, UniqueFd memfd, std::span<std::byte> bytes, std::string page_kind)
    : id_(id), memfd_(std::move(memfd)), bytes_(bytes), page_kind_(std::move(page_kind)) {}

Region::~Region() { munmap(bytes_.data(), bytes_.size()); }

absl::StatusOr<std::unique_ptr<Region>> Region::Map(const Options& options) {
  if (absl::Status status = CheckRequest(options); !status.ok()) return status;
  const bool huge = FreeHugePageBytes() >= RoundUp(options.size_bytes, kHugePageBytes);
  const uint64_t size = RoundUp(options.size_bytes, huge ? kHugePageBytes : kSmallPageBytes);
  UniqueFd memfd(static_cast<int>(
      memfd_create("kvasir-region", MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0u))));
  if (!memfd.valid()) return ErrnoStatus(errno, "map region: memfd_create");
  if (ftruncate(memfd.get(), static_cast<off_t>(size)) != 0) {
    return ErrnoStatus(errno, fmt::format("map region: reserve {}", FormatSize(size)));
  }
  void* const address =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd.get(), 0);
  if (address == MAP_FAILED) {
    return ErrnoStatus(errno, fmt::format("map region: map {}", FormatSize(size)));
  }
  const std::span<std::byte> bytes(static_cast<std::byte*>(address), size);
  const bool transparent = !huge && madvise(address, size, MADV_HUGEPAGE) == 0;
  std::unique_ptr<Region> region(new Region(
      options.id, std::move(memfd), bytes,
      huge ? "2 MiB huge pages" : (transparent ? "transparent huge pages" : "4 KiB pages")));
  if (fcntl(region->memfd(), F_ADD_SEALS,
            F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) {
    return ErrnoStatus(errno, "map region: seal");
  }
  madvise(address, size, MADV_DONTDUMP);  // Best effort: a kernel may lack it.
  if (absl::Status status = Bind(bytes, options.numa_node); !status.ok()) return status;
  if (absl::Status status = Populate(bytes, options); !status.ok()) return status;
  return region;
}

std::span<std::byte> Region::Slice(const Extent& extent) const {
  KV_CHECK(extent.region == id_ && extent.offset_bytes <= bytes_.size() &&
           extent.size_bytes <= bytes_.size() - extent.offset_bytes);
  return bytes_.subspan(extent.offset_bytes, extent.size_bytes);
}

}  // namespace kvasir
