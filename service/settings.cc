#include "service/settings.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "rdma/verbs_options.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

// A quarter leaves room for the engine that usually shares the host; the cap keeps the
// start quick on large machines, where somebody should choose.
constexpr uint64_t kDefaultMemoryPercent = 25;
constexpr uint64_t kDefaultMemoryBytesMax = 16 * kGiB;
constexpr uint64_t kMinMemoryBytes = 1 * kMiB;
constexpr uint32_t kMaxDataLoops = 16;
constexpr uint32_t kDefaultDataLoopsMax = 4;
constexpr milliseconds kMinSessionSilence{500};
constexpr milliseconds kMaxSessionSilence{60'000};
constexpr size_t kMaxNodeNameBytes = 253;  // a DNS name: RFC 1035, section 2.3.4

absl::Status Wrong(std::string_view text, std::string_view expected) {
  return absl::InvalidArgumentError(fmt::format("\"{}\" is not {}", text, expected));
}

absl::Status SetAddress(std::string_view text, ListenAddress* address) {
  absl::StatusOr<ListenAddress> parsed = ListenAddress::Parse(text);
  if (parsed.ok()) *address = *std::move(parsed);
  return parsed.status();
}

absl::Status SetPath(std::string_view text, std::string* path) {
  if (text.find('\0') != std::string_view::npos) return Wrong(text, "a path");
  *path = text;
  return absl::OkStatus();
}

absl::Status SetControlSocket(std::string_view text, const Machine&, Config* config) {
  if (!text.empty() && (text[0] != '/' || text.size() > kMaxSocketPathBytes)) {
    return Wrong(text, fmt::format("an absolute path of at most {} bytes",
                                   kMaxSocketPathBytes));
  }
  return SetPath(text, &config->control_socket);
}

absl::Status SetDisk(std::string_view text, const Machine&, Config* config) {
  const absl::StatusOr<uint64_t> bytes = ParseSize(text);
  if (!bytes.ok()) return bytes.status();
  if (*bytes < kMinTierBudgetBytes) {
    return Wrong(text, fmt::format("at least {}", FormatSize(kMinTierBudgetBytes)));
  }
  config->disk_bytes = *bytes;
  return absl::OkStatus();
}

absl::Status SetWritePolicy(std::string_view text, const Machine&, Config* config) {
  for (const WritePolicy policy : {WritePolicy::kWriteBack, WritePolicy::kWriteThrough}) {
    if (text != WritePolicyName(policy)) continue;
    config->write_policy = policy;
    return absl::OkStatus();
  }
  return Wrong(text, "write_back or write_through");
}

absl::StatusOr<int64_t> ParseInteger(std::string_view text, int64_t min, int64_t max) {
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped != end || value < min || value > max) {
    return Wrong(text, fmt::format("a whole number from {} to {}", min, max));
  }
  return value;
}

absl::Status SetDuration(std::string_view text, milliseconds min, milliseconds max,
                         milliseconds* value) {
  absl::Duration parsed;
  const bool is_duration = absl::ParseDuration(ToAbsl(text), &parsed);
  const milliseconds ms = absl::ToChronoMilliseconds(parsed);
  if (!is_duration || ms < min || ms > max) {
    return Wrong(text, fmt::format("a duration from {} ms to {} ms, such as 500ms or 5s",
                                   min.count(), max.count()));
  }
  *value = ms;
  return absl::OkStatus();
}

std::string PrintDuration(milliseconds value) {
  return absl::FormatDuration(absl::FromChrono(value));
}

absl::Status SetBool(std::string_view text, bool* value) {
  constexpr std::array<std::string_view, 4> kTrue = {"true", "yes", "on", "1"};
  constexpr std::array<std::string_view, 4> kFalse = {"false", "no", "off", "0"};
  const bool is_true = std::find(kTrue.begin(), kTrue.end(), text) != kTrue.end();
  const bool is_false = std::find(kFalse.begin(), kFalse.end(), text) != kFalse.end();
  if (!is_true && !is_false) return Wrong(text, "true or false");
  *value = is_true;
  return absl::OkStatus();
}

uint64_t DefaultMemoryBytes(const Machine& machine) {
  const uint64_t share = machine.memory_bytes * kDefaultMemoryPercent / 100;
  return std::clamp(share / kMiB * kMiB, 64 * kMiB, kDefaultMemoryBytesMax);
}

absl::Status SetMemory(std::string_view text, const Machine& machine, Config* config) {
  uint64_t bytes = 0;
  if (text.ends_with('%')) {
    const absl::StatusOr<int64_t> percent =
        ParseInteger(text.substr(0, text.size() - 1), 1, 95);
    if (!percent.ok())
      return Wrong(text, "a share of the machine's memory from 1% to 95%");
    bytes = machine.memory_bytes * static_cast<uint64_t>(*percent) / 100 / kMiB * kMiB;
  } else {
    const absl::StatusOr<uint64_t> parsed = ParseSize(text);
    if (!parsed.ok()) return parsed.status();
    bytes = *parsed;
  }
  if (bytes < kMinMemoryBytes) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is less than the {} that a store "
                    "needs at least",
                    text, FormatSize(kMinMemoryBytes)));
  }
  if (bytes > machine.memory_bytes) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is more than the {} of memory that there is here", text,
                    FormatSize(machine.memory_bytes)));
  }
  config->memory_bytes = bytes;
  return absl::OkStatus();
}

absl::Status SetTransport(std::string_view text, const Machine&, Config* config) {
  if (text == "auto") {
    config->transport.reset();
    return absl::OkStatus();
  }
  const absl::StatusOr<TransportKind> kind = ParseTransport(text);
  if (!kind.ok()) return Wrong(text, "a transport; known are auto, rdma, shm and tcp");
  config->transport = *kind;
  return absl::OkStatus();
}

absl::Status SetRdmaDevice(std::string_view text, const Machine&, Config* config) {
  const absl::StatusOr<std::vector<std::string>> devices = ParseVerbsDevices(text);
  if (devices.ok()) config->rdma_device = text;
  return devices.status();
}

absl::Status SetEvictionPolicy(std::string_view text, const Machine&, Config* config) {
  const absl::StatusOr<EvictionPolicyKind> kind = ParseEvictionPolicy(text);
  if (kind.ok()) config->eviction_policy = *kind;
  return kind.status();
}

absl::Status SetNodeName(std::string_view text, const Machine&, Config* config) {
  const auto printable = [](char c) { return c > ' ' && c < 0x7F; };
  if (text.empty() || text.size() > kMaxNodeNameBytes ||
      !std::all_of(text.begin(), text.end(), printable)) {
    return Wrong(text,
                 fmt::format("a node name: 1 to {} printable ASCII characters without "
                             "spaces",
                             kMaxNodeNameBytes));
  }
  config->node_name = text;
  return absl::OkStatus();
}

// Of one level's names the first is what it is called.
constexpr std::array<std::pair<std::string_view, LogLevel>, 5> kLogLevels = {{
    {"debug", LogLevel::kDebug},
    {"info", LogLevel::kInfo},
    {"warning", LogLevel::kWarning},
    {"warn", LogLevel::kWarning},
    {"error", LogLevel::kError},
}};

absl::Status SetLogLevel(std::string_view text, const Machine&, Config* config) {
  for (const auto& [name, level] : kLogLevels) {
    if (text != name) continue;
    config->log_level = level;
    return absl::OkStatus();
  }
  return Wrong(text, "a log level: debug, info, warning or error");
}

std::string PrintLogLevel(const Config& config) {
  for (const auto& [name, level] : kLogLevels) {
    if (config.log_level == level) return std::string(name);
  }
  return "?";
}

std::string PrintTransport(const Config& config) {
  return config.transport ? std::string(TransportName(*config.transport)) : "auto";
}

constexpr Setting kSettings[] = {
    {.name = "config",
     .value = "FILE",
     .help = "YAML file with settings, one `name: value` a line.",
     .parse = [](std::string_view text, const Machine&,
                 Config* config) { return SetPath(text, &config->config); },
     .print = [](const Config& config) { return config.config; }},
    {.name = "listen",
     .value = "HOST:PORT",
     .help =
         "Where the gRPC services listen. Port 0 takes a free one; the banner and the "
         "ready file say which.",
     .parse = [](std::string_view text, const Machine&,
                 Config* config) { return SetAddress(text, &config->listen); },
     .print = [](const Config& config) { return config.listen.ToString(); }},
    {.name = "control_socket",
     .value = "PATH",
     .help = "A unix socket where the gRPC services listen as well, for clients of this "
             "host; nobody else's. By default there is none.",
     .parse = SetControlSocket,
     .print = [](const Config& config) { return config.control_socket; }},
    {.name = "data_listen",
     .value = "HOST:PORT",
     .help = "Where the tcp transport listens for block data.",
     .parse = [](std::string_view text, const Machine&,
                 Config* config) { return SetAddress(text, &config->data_listen); },
     .print = [](const Config& config) { return config.data_listen.ToString(); }},
    {.name = "http_listen",
     .value = "HOST:PORT",
     .help = "Where /metrics, /healthz and /readyz listen.",
     .parse = [](std::string_view text, const Machine&,
                 Config* config) { return SetAddress(text, &config->http_listen); },
     .print = [](const Config& config) { return config.http_listen.ToString(); }},
    {.name = "insecure",
     .value = "",
     .help = "Allow addresses other than loopback. This version has neither TLS nor "
             "credentials: whoever reaches the ports reads and writes everything.",
     .parse = [](std::string_view text, const Machine&,
                 Config* config) { return SetBool(text, &config->insecure); },
     .print = [](const Config& config) -> std::string {
       return config.insecure ? "true" : "false";
     },
     .is_switch = true},
    {.name = "memory",
     .value = "SIZE",
     .help = "Memory for blocks, such as 2GiB or 40%; taken in full at the start. By "
             "default 25% of the machine's memory, or of the cgroup's limit if that is "
             "less; at least 64 MiB, at most 16 GiB.",
     .parse = SetMemory,
     .print = [](const Config& config) { return FormatSize(config.memory_bytes); }},
    {.name = "numa_node",
     .value = "NUMBER",
     .help = "NUMA node that the memory is bound to; -1: no binding.",
     .parse =
         [](std::string_view text, const Machine&, Config* config) {
           const absl::StatusOr<int64_t> node = ParseInteger(text, -1, 1023);
           if (node.ok()) config->numa_node = static_cast<int>(*node);
           return node.status();
         },
     .print = [](const Config& config) { return std::to_string(config.numa_node); }},
    {.name = "data_dir",
     .value = "DIR",
     .help = "Where the disk tier keeps its database; made if missing, and this node's "
             "alone. By default there is none: blocks live in memory only.",
     .parse = [](std::string_view text, const Machine&,
                 Config* config) { return SetPath(text, &config->data_dir); },
     .print = [](const Config& config) { return config.data_dir; }},
    {.name = "disk",
     .value = "SIZE",
     .help = "Disk that the tier may use, such as 500GiB; the coldest blocks go when it "
             "is full. By default half of what is free in data_dir at the start.",
     .parse = SetDisk,
     .print =
         [](const Config& config) {
           return config.disk_bytes == 0 ? "auto" : FormatSize(config.disk_bytes);
         }},
    {.name = "write_policy",
     .value = "NAME",
     .help = "When blocks go to disk: write_back (as they get cold, and at a stop) or "
             "write_through (each at once). Neither makes a put wait.",
     .parse = SetWritePolicy,
     .print =
         [](const Config& config) {
           return std::string(WritePolicyName(config.write_policy));
         }},
    {.name = "eviction_policy",
     .value = "NAME",
     .help =
         "Which blocks go first when memory is full: s3fifo, sieve, lru, lfu or fifo.",
     .parse = SetEvictionPolicy,
     .print =
         [](const Config& config) {
           return std::string(EvictionPolicyName(config.eviction_policy));
         }},
    {.name = "transport",
     .value = "NAME",
     .help = "How clients may move block data: rdma, shm or tcp, and then in no other way; "
             "or auto: shm, rdma where there is a device, and tcp, preferred in this order.",
     .parse = SetTransport,
     .print = PrintTransport},
    {.name = "data_loops",
     .value = "NUMBER",
     .help = "Threads that move block data for each transport that copies, and with rdma as "
             "many that answer what puts ask (1 to 16). By default one a core, at most 4.",
     .parse =
         [](std::string_view text, const Machine&, Config* config) {
           const absl::StatusOr<int64_t> loops = ParseInteger(text, 1, kMaxDataLoops);
           if (loops.ok()) config->data_loops = static_cast<uint32_t>(*loops);
           return loops.status();
         },
     .print = [](const Config& config) { return std::to_string(config.data_loops); }},
    {.name = "shm_dir",
     .value = "DIR",
     .help = "Directory of the shm transport's socket; made with mode 0700 if missing.",
     .parse =
         [](std::string_view text, const Machine&, Config* config) {
           return text.empty() ? Wrong(text, "a directory")
                               : SetPath(text, &config->shm_dir);
         },
     .print = [](const Config& config) { return config.shm_dir; }},
    {.name = "rdma_device",
     .value = "NAMES",
     .help = "RDMA devices to use, as /sys/class/infiniband names them: up to 4, with "
             "commas, each a rail that every lane is striped over. By default one, the "
             "first that has an active port.",
     .parse = SetRdmaDevice,
     .print = [](const Config& config) { return config.rdma_device; }},
    {.name = "rdma_port",
     .value = "NUMBER",
     .help = "Port of the RDMA devices; 0: the first active one.",
     .parse =
         [](std::string_view text, const Machine&, Config* config) {
           const absl::StatusOr<int64_t> port = ParseInteger(text, 0, 255);
           if (port.ok()) config->rdma_port = static_cast<uint32_t>(*port);
           return port.status();
         },
     .print = [](const Config& config) { return std::to_string(config.rdma_port); }},
    {.name = "rdma_gid_index",
     .value = "NUMBER",
     .help = "Row of an Ethernet port's GID table to speak from; -1: the best, which is RoCE "
             "v2 with an IPv4 address.",
     .parse =
         [](std::string_view text, const Machine&, Config* config) {
           const absl::StatusOr<int64_t> row = ParseInteger(text, -1, 255);
           if (row.ok()) config->rdma_gid_index = static_cast<int>(*row);
           return row.status();
         },
     .print = [](const Config& config) { return std::to_string(config.rdma_gid_index); }},
    {.name = "node_name",
     .value = "NAME",
     .help =
         "Name of this node in the cluster; keys are placed by it, so it must stay the "
         "same across restarts. By default the host name.",
     .parse = SetNodeName,
     .print = [](const Config& config) { return config.node_name; }},
    {.name = "lease_ttl",
     .value = "DURATION",
     .help = "How long a lease lasts when a client does not say (100ms to 30s).",
     .parse =
         [](std::string_view text, const Machine&, Config* config) {
           return SetDuration(text, kMinLeaseTtl, kMaxLeaseTtl, &config->lease_ttl);
         },
     .print = [](const Config& config) { return PrintDuration(config.lease_ttl); }},
    {.name = "session_silence",
     .value = "DURATION",
     .help = "How long a client may be silent before its session ends (500ms to 60s).",
     .parse =
         [](std::string_view text, const Machine&, Config* config) {
           return SetDuration(text, kMinSessionSilence, kMaxSessionSilence,
                              &config->session_silence);
         },
     .print = [](const Config& config) { return PrintDuration(config.session_silence); }},
    {.name = "ready_file",
     .value = "FILE",
     .help =
         "Written once everything listens, and removed at the end: one JSON object with "
         "the real addresses.",
     .parse = [](std::string_view text, const Machine&,
                 Config* config) { return SetPath(text, &config->ready_file); },
     .print = [](const Config& config) { return config.ready_file; }},
    {.name = "log_level",
     .value = "LEVEL",
     .help = "The least that is logged: debug, info, warning or error.",
     .parse = SetLogLevel,
     .print = PrintLogLevel},
};

}  // namespace

std::span<const Setting> Settings() { return kSettings; }

const Setting* FindSetting(std::string_view name) {
  for (const Setting& setting : kSettings) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

Config DefaultConfig(const Machine& machine) {
  Config config;
  config.memory_bytes = DefaultMemoryBytes(machine);
  config.data_loops = std::clamp(machine.cores, 1u, kDefaultDataLoopsMax);
  config.shm_dir = machine.runtime_dir;
  config.node_name = machine.host_name;
  return config;
}

}  // namespace kvasir
