#include "service/kvasird.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/count_text.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/malloc_tuning.h"
#include "base/region.h"
#include "service/config.h"
#include "service/machine.h"
#include "service/ready_file.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

constexpr int kExitError = 1;
constexpr int kExitUsage = 2;
constexpr milliseconds kDrainPollInterval{20};
constexpr milliseconds kProgressInterval{1'000};

// SIGTERM and SIGINT as something to wait for. Blocks both in this thread and those that
// it makes from now on; ignores SIGPIPE, which a peer's hang-up would cause.
class StopSignals {
 public:
  StopSignals() {
    std::signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    fd_.reset(signalfd(-1, &set, SFD_CLOEXEC));
  }
  int fd() const { return fd_.get(); }
  // Whether one came within `patience`; takes it.
  bool Take(milliseconds patience) {
    pollfd wait{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    if (poll(&wait, 1, static_cast<int>(patience.count())) <= 0) return false;
    signalfd_siginfo info;
    return read(fd_.get(), &info, sizeof(info)) == sizeof(info);
  }

 private:
  UniqueFd fd_;
};

absl::StatusOr<std::unique_ptr<Region>> MapMemory(const Config& config) {
  Log(LogLevel::kInfo, fmt::format("memory: taking {}", FormatSize(config.memory_bytes)));
  const Clock* const clock = Clock::Real();
  Instant shown = clock->Now();
  const auto show = [&shown, clock](uint64_t done_bytes, uint64_t total_bytes) {
    if (clock->Now() - shown < kProgressInterval) return;
    shown = clock->Now();
    Log(LogLevel::kInfo,
        fmt::format("memory: {} of {} ({} %)", FormatSize(done_bytes),
                    FormatSize(total_bytes), done_bytes * 100 / total_bytes));
  };
  absl::FunctionRef<void(uint64_t, uint64_t)> progress = show;
  return Region::Map({.id = RegionId{1},
                      .size_bytes = config.memory_bytes,
                      .numa_node = config.numa_node,
                      .progress = &progress});
}

void LogBanner(const ConfigRequest& request) {
  Log(LogLevel::kInfo,
      fmt::format("kvasird {}, node {}, pid {}{}", kVersion, request.config.node_name,
                  getpid(), DescribeConfig(request)));
  if (request.config.insecure) {
    Log(LogLevel::kWarning,
        "insecure is set: whoever reaches the ports reads and writes everything");
  }
}

void LogReady(const Node& node) {
  const NodeView& view = node.view();
  std::string transports;
  for (const ServerTransport* transport : view.transports) {
    transports += fmt::format("{}{}", transports.empty() ? "" : ", ",
                              TransportName(transport->kind()));
  }
  Log(LogLevel::kInfo,
      fmt::format("ready: grpc {}, tcp data {}, http {}, transports {}, memory {} in {}",
                  view.listen.ToString(),
                  view.data_listen.host.empty() ? "none" : view.data_listen.ToString(),
                  view.http_listen.ToString(), transports,
                  FormatSize(view.region->bytes().size()), view.region->page_kind()));
}

// Waits for the disk tier. An error if the node must not run; Cancelled if a signal came.
absl::Status AwaitRecovery(const Node& node, StopSignals* signals) {
  const Clock* const clock = Clock::Real();
  Instant shown = clock->Now();
  while (true) {
    if (const auto recovered = node.recovered(); recovered.has_value()) return *recovered;
    if (signals->Take(kDrainPollInterval)) {
      return absl::CancelledError("start: stopped by a signal while recovering");
    }
    if (clock->Now() - shown < kProgressInterval) continue;
    shown = clock->Now();
    if (!node.view().tier->fault().empty()) continue;  // Which the log has.
    Log(LogLevel::kInfo, fmt::format("disk: recovering, {} of {} keys",
                                     node.view().tier->keys(),
                                     node.view().tier->keys_total()));
  }
}

// Returns once a signal or AdminService.Drain says to stop.
void AwaitStop(const Node& node, StopSignals* signals) {
  pollfd waits[] = {{.fd = signals->fd(), .events = POLLIN, .revents = 0},
                    {.fd = node.drain_asked_fd(), .events = POLLIN, .revents = 0}};
  while (poll(waits, 2, -1) < 0) {
  }
  if (waits[0].revents != 0) signals->Take(milliseconds(0));
}

// A second signal ends the process on the spot.
void Drain(Node* node, StopSignals* signals, ReadyFile* ready) {
  ready->Remove();
  node->BeginDrain();
  Log(LogLevel::kInfo,
      "draining: no new sessions, grants or pins; commits go on, leases lapse");
  const Clock* const clock = Clock::Real();
  Instant shown = clock->Now();
  while (!node->drained()) {
    if (!node->view().config->data_dir.empty() &&
        clock->Now() - shown >= kProgressInterval) {
      shown = clock->Now();
      const TieredStore::Stats stats = node->view().store->stats();
      Log(LogLevel::kInfo,
          fmt::format("draining: {} on disk, {} in memory",
                      CountText(stats.tier.blocks, "block"), stats.memory.blocks));
    }
    if (!signals->Take(kDrainPollInterval)) continue;
    Log(LogLevel::kWarning, "a second signal: stopping at once");
    _exit(kExitError);
  }
  Log(LogLevel::kInfo, "drained");
}

int Fail(const absl::Status& status, int code) {
  fmt::print(stderr, "kvasird: {}\n",
             std::string_view(status.message().data(), status.message().size()));
  if (code == kExitUsage) fmt::print(stderr, "kvasird: --help lists the settings\n");
  return code;
}

int Serve(const ConfigRequest& request, const Node::TierOpener& open_tier) {
  const Config& config = request.config;
  SetLogLevel(config.log_level);
  LogBanner(request);
  ReadyFile ready(config.ready_file);
  // Mapped before the signals are blocked: it may take long, and there is nothing to
  // drain yet.
  absl::StatusOr<std::unique_ptr<Region>> region = MapMemory(config);
  if (!region.ok()) return Fail(region.status(), kExitError);
  StopSignals signals;
  absl::StatusOr<std::unique_ptr<Node>> node =
      Node::Start(config, *std::move(region), Clock::Real(), open_tier);
  if (!node.ok()) return Fail(node.status(), kExitError);
  if (absl::Status recovered = AwaitRecovery(**node, &signals); !recovered.ok()) {
    return Fail(recovered, kExitError);
  }
  LogReady(**node);
  if (absl::Status wrote = ready.Write((*node)->ReadyJson()); !wrote.ok()) {
    return Fail(wrote, kExitError);
  }
  AwaitStop(**node, &signals);
  Drain(node->get(), &signals, &ready);
  return 0;
}

}  // namespace

int RunKvasird(int argc, char** argv, const Node::TierOpener& open_tier) {
  ConfigSources sources;
  sources.args.assign(argv + 1, argv + argc);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    sources.environment.emplace_back(*entry);
  }
  sources.machine = Machine::Inspect();
  const absl::StatusOr<ConfigRequest> request = LoadConfig(sources);
  if (!request.ok()) return Fail(request.status(), kExitUsage);
  switch (request->action) {
    case ConfigRequest::Action::kHelp:
      fmt::print("{}", ConfigHelp(sources.machine));
      return 0;
    case ConfigRequest::Action::kVersion:
      fmt::print("kvasird {}\n", kVersion);
      return 0;
    case ConfigRequest::Action::kRun:
      // Here, as it must be before there are threads.
      if (!request->config.data_dir.empty()) KeepFreedMemory();
      return Serve(*request, open_tier);
  }
  return kExitError;
}

}  // namespace kvasir
