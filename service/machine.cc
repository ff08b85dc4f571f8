#include "service/machine.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "base/memory_limit.h"

namespace kvasir {
namespace {

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
      .memory_bytes = std::min(pages * page_bytes, ReadMemoryLimit().limit_bytes),
      .cores = std::max(1u, std::thread::hardware_concurrency()),
      .host_name = HostName(),
      .boot_id = BootId(),
      .runtime_dir = RuntimeDir(),
  };
}

}  // namespace kvasir
