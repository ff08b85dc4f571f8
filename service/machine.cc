#include "service/machine.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

namespace kvasir {
namespace {

// The number in the first line of a cgroup's file; the largest there is for "max" or if
// there is no such file.
uint64_t ReadLimit(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  uint64_t limit = 0;
  if (!std::getline(file, line)) return UINT64_MAX;
  const auto [end, error] =
      std::from_chars(line.data(), line.data() + line.size(), limit);
  return error == std::errc() && end != line.data() ? limit : UINT64_MAX;
}

// The least memory limit of the process's cgroup and those above it, where the unified
// hierarchy (cgroup v2) or the memory controller of v1 is mounted in the usual place.
uint64_t CgroupMemoryLimit() {
  uint64_t limit = std::min(ReadLimit("/sys/fs/cgroup/memory.max"),
                            ReadLimit("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  std::ifstream cgroups("/proc/self/cgroup");
  std::string line;
  while (std::getline(cgroups, line)) {
    if (!line.starts_with("0::")) continue;
    std::string path = line.substr(3);
    while (path.size() > 1) {
      limit =
          std::min(limit, ReadLimit(fmt::format("/sys/fs/cgroup{}/memory.max", path)));
      path.resize(path.rfind('/'));
    }
  }
  return limit;
}

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

std::string BootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

// XDG's directory is the user's own and goes with the last login; without a login, as
// in a container, a name of our own below /tmp.
std::string RuntimeDir() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') return std::string(runtime) + "/kvasir";
  return fmt::format("/tmp/kvasir-{}", geteuid());
}

}  // namespace

Machine Machine::Inspect() {
  const auto pages = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES));
  const auto page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return Machine{
      .memory_bytes = std::min(pages * page_bytes, CgroupMemoryLimit()),
      .cores = std::max(1u, std::thread::hardware_concurrency()),
      .host_name = HostName(),
      .boot_id = BootId(),
      .runtime_dir = RuntimeDir(),
  };
}

}  // namespace kvasir
