#include "service/node_view.h"

#include <fmt/core.h>
#include <unistd.h>

#include <fstream>

#include "base/limits.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

// The reaper runs every kReaperInterval; a machine that starves it this long serves
// nobody either.
constexpr milliseconds kReaperSilence{10'000};

// Field 2 of /proc/self/statm: resident pages. See proc(5).
uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total_pages = 0, resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void Worsen(std::string state, std::string reason, Health* health) {
  health->state = std::move(state);
  health->reasons.push_back(std::move(reason));
  health->ready = false;
}

}  // namespace

// From mild to bad, so that the worst names the state.
Health NodeView::health() const {
  Health health;
  if (const TierState tier_state = store->health()->state();
      tier_state != TierState::kHealthy) {
    health.state = TierStateName(tier_state);
    health.reasons.push_back(
        fmt::format("{}: {}", health.state, store->health()->reason()));
  }
  if (recovering.load()) {
    const std::string fault = tier->fault();
    Worsen("RECOVERING",
           fault.empty() ? fmt::format("RECOVERING: {} of {} keys", tier->keys(),
                                       tier->keys_total())
                         : fmt::format("RECOVERING: {}", fault),
           &health);
  }
  if (!serving.load())
    Worsen("STARTING", "STARTING: not everything listens yet", &health);
  if (core->draining()) {
    Worsen("DRAINING", "DRAINING: takes no new sessions and grants, and will stop",
           &health);
  }
  const KvCore::Stats stats = core->stats();
  if (stats.oldest_fence > kFenceStuckAfter) {
    Worsen(
        "FENCE_STUCK",
        fmt::format("FENCE_STUCK: a fence has not returned for {} ms; {} bytes of memory "
                    "stay in quarantine",
                    stats.oldest_fence.count(), stats.quarantined_bytes),
        &health);
  }
  const BootClock::duration silence =
      clock->Now() - Instant(BootClock::duration(reaped_ns.load()));
  if (serving.load() && silence > kReaperSilence) {
    Worsen("FAILED",
           fmt::format("FAILED: the reaper has not run for {} ms",
                       std::chrono::duration_cast<milliseconds>(silence).count()),
           &health);
    health.live = false;
  }
  return health;
}

NodeStats NodeView::stats() const {
  NodeStats stats{
      .version = std::string(kVersion),
      .uptime = std::chrono::duration_cast<milliseconds>(clock->Now() - started),
      .draining = core->draining(),
      .resident_bytes = ResidentBytes(),
      .core = core->stats(),
      .store = store->stats(),
      .tier_state = store->health()->state(),
      .tier_set_aside = tier == nullptr ? 0 : tier->set_aside_count(),
      .arena = store->memory()->arena()->usage(),
      .requests = requests,
  };
  for (const ServerTransport* transport : transports) {
    stats.transports.emplace_back(transport->kind(), transport->stats());
  }
  for (const VerbsPort& rail : rails) {
    stats.rails.emplace_back(rail.device, ReadVerbsPortCounters(rail));
  }
  return stats;
}

}  // namespace kvasir
