#ifndef KVASIR_SERVICE_MACHINE_H_
#define KVASIR_SERVICE_MACHINE_H_

#include <cstdint>
#include <string>

namespace kvasir {

// What the defaults of settings depend on. Plain value: tests make their own.
struct Machine {
  uint64_t memory_bytes = 0;  // of the machine, or of the cgroup if that is less
  uint32_t cores = 1;
  std::string host_name;
  std::string boot_id;      // tells this host from others; empty: not known
  std::string runtime_dir;  // where this user's sockets go

  static Machine Inspect();
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_MACHINE_H_
