#ifndef KVASIR_SERVICE_CONFIG_H_
#define KVASIR_SERVICE_CONFIG_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/limits.h"
#include "base/log.h"
#include "rdma/transport.h"
#include "service/listen_address.h"
#include "service/machine.h"
#include "storage/eviction_policy.h"
#include "storage/tiered_store.h"

namespace kvasir {

// Every setting of kvasird, validated. Each has one name, the same in the YAML file, in
// the environment (KVASIR_ and the name in capitals) and as a flag; service/settings.cc
// lists them with their help, docs/operations.md shows them in a table.
struct Config {
  std::string config;  // path of the file; empty: none
  ListenAddress listen{.host = "127.0.0.1", .port = 7450};
  ListenAddress data_listen{.host = "127.0.0.1", .port = 7451};
  ListenAddress http_listen{.host = "127.0.0.1", .port = 9450};
  std::string control_socket;  // empty: none
  bool insecure = false;
  uint64_t memory_bytes = 0;
  int numa_node = -1;    // -1: no binding
  std::string data_dir;  // empty: none
  uint64_t disk_bytes = 0;  // 0: half of what is free in data_dir, or was taken already
  WritePolicy write_policy = WritePolicy::kWriteBack;
  EvictionPolicyKind eviction_policy = EvictionPolicyKind::kS3Fifo;
  std::optional<TransportKind> transport;  // nothing: auto
  uint32_t data_loops = 0;
  std::string shm_dir;
  std::string rdma_device;  // names with commas; empty: the first that works
  uint32_t rdma_port = 0;   // 0: the first active
  int rdma_gid_index = -1;  // -1: the best
  std::string node_name;
  std::chrono::milliseconds lease_ttl = kDefaultLeaseTtl;
  std::chrono::milliseconds session_silence = kSessionSilence;
  std::string ready_file;  // empty: none
  LogLevel log_level = LogLevel::kInfo;
};

// As in the setting: "write_back".
constexpr std::string_view WritePolicyName(WritePolicy policy) {
  return policy == WritePolicy::kWriteBack ? "write_back" : "write_through";
}

// Where settings come from, as the process got them.
struct ConfigSources {
  std::vector<std::string> args;         // without the program's name
  std::vector<std::string> environment;  // "NAME=value"
  Machine machine;
};

// What the command line asks for.
struct ConfigRequest {
  enum class Action { kRun, kHelp, kVersion };
  Action action = Action::kRun;
  Config config;  // for kRun only
  // By setting: where its value is from, such as "flag", "KVASIR_MEMORY" or
  // "kvasir.yaml:3". A setting at its default is not there.
  std::map<std::string, std::string, std::less<>> origins;
};

// Flags before environment before file before default. InvalidArgument for a name that
// is no setting (with the nearest that is) and for a wrong value, and NotFound or
// PermissionDenied for the file; each message says where: the flag, the variable, or
// file and line. An empty variable counts as not set.
absl::StatusOr<ConfigRequest> LoadConfig(const ConfigSources& sources);

// What --help prints.
std::string ConfigHelp(const Machine& machine);

// For the banner: a line for each setting, with a line break before it.
std::string DescribeConfig(const ConfigRequest& request);

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace kvasir

#endif  // KVASIR_SERVICE_CONFIG_H_
