#ifndef KVASIR_BASE_MEMORY_LIMIT_H_
#define KVASIR_BASE_MEMORY_LIMIT_H_

#include <cstdint>
#include <string>

namespace kvasir {

// What a container lets this process have of memory: the least over its control group
// and all above it. The largest number there is if nothing limits it.
struct MemoryLimit {
  uint64_t limit_bytes = UINT64_MAX;
  // Of the limit, not in use. Pages of files that the kernel would drop first count as
  // free, as they do in MemAvailable.
  uint64_t free_bytes = UINT64_MAX;
};

// Where the kernel tells it. Tests name directories of their own.
struct CgroupFiles {
  std::string mount = "/sys/fs/cgroup";
  std::string self = "/proc/self/cgroup";
};

// Reads the unified hierarchy (cgroup v2), and of v1 the limit alone.
// Source: Linux, Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files".
MemoryLimit ReadMemoryLimit(const CgroupFiles& files = {});

}  // namespace kvasir

#endif  // KVASIR_BASE_MEMORY_LIMIT_H_
