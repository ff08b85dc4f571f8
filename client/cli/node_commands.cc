#include "client/cli/node_commands.h"

#include <fmt/core.h>

#include <chrono>
#include <map>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/count_text.h"
#include "client/cli/arguments.h"
#include "client/cli/latency.h"
#include "client/cli/output.h"
#include "kvasir/v1/admin.pb.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

// Epochs are 64 random bits: as a JSON number they would lose some.
std::string EpochText(uint64_t epoch) { return fmt::format("{:016x}", epoch); }

std::string TransportText(int kind) {
  switch (kind) {
    case v1::TRANSPORT_KIND_RDMA:
      return "rdma";
    case v1::TRANSPORT_KIND_SHM:
      return "shm";
    case v1::TRANSPORT_KIND_TCP:
      return "tcp";
    default:
      return fmt::format("kind {}", kind);
  }
}

template <typename Words>
std::string Join(const Words& words) {
  std::string text;
  for (const std::string& word : words) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", word);
  }
  return text;
}

std::vector<std::string> Transports(const v1::GetNodeInfoResponse& info) {
  std::vector<std::string> names;
  for (const int kind : info.transports()) names.push_back(TransportText(kind));
  return names;
}

Json SessionJson(const v1::SessionInfo& session) {
  return {{"session", session.session()},
          {"client_name", session.client_name()},
          {"pid", session.pid()},
          {"lanes", session.lanes()},
          {"leases", session.leases()},
          {"age_ms", session.age_ms()},
          {"silent_ms", session.silent_ms()}};
}

Json InfoJson(const v1::GetNodeInfoResponse& info, const v1::GetStatsResponse& stats) {
  Json sessions = Json::array();
  for (const v1::SessionInfo& session : info.sessions()) {
    sessions.push_back(SessionJson(session));
  }
  return {{"node_name", info.node_name()},
          {"version", info.version()},
          {"epoch", EpochText(info.epoch())},
          {"uptime_ms", info.uptime_ms()},
          {"health", info.health()},
          {"health_reasons", std::vector<std::string>(info.health_reasons().begin(),
                                                      info.health_reasons().end())},
          {"listen", info.listen()},
          {"data_listen", info.data_listen()},
          {"http_listen", info.http_listen()},
          {"transports", Transports(info)},
          {"memory_bytes", info.memory_bytes()},
          {"page_kind", info.page_kind()},
          {"eviction_policy", info.eviction_policy()},
          {"data_dir", info.data_dir()},
          {"write_policy", info.write_policy()},
          {"sessions", std::move(sessions)},
          // Ordered by name, which protobuf's map is not.
          {"stats",
           std::map<std::string, double>(stats.values().begin(), stats.values().end())}};
}

uint64_t Stat(const v1::GetStatsResponse& stats, const std::string& name) {
  const auto found = stats.values().find(name);
  return found == stats.values().end() ? 0 : static_cast<uint64_t>(found->second);
}

std::string MemoryText(const v1::GetNodeInfoResponse& info,
                       const v1::GetStatsResponse& stats) {
  return fmt::format("{} with {} of {}, {}", CountText(Stat(stats, "blocks"), "block"),
                     FormatSize(Stat(stats, "block_bytes")),
                     FormatSize(info.memory_bytes()), info.page_kind());
}

std::string DiskText(const v1::GetNodeInfoResponse& info,
                     const v1::GetStatsResponse& stats) {
  if (info.data_dir().empty()) return "none";
  return fmt::format("{} with {} of {}, {}, in {}",
                     CountText(Stat(stats, "tier_blocks"), "block"),
                     FormatSize(Stat(stats, "tier_block_bytes")),
                     FormatSize(Stat(stats, "tier_capacity_bytes")), info.write_policy(),
                     info.data_dir());
}

std::string InfoText(const v1::GetNodeInfoResponse& info,
                     const v1::GetStatsResponse& stats) {
  Properties text;
  text.Add("node", fmt::format("{}, version {}", info.node_name(), info.version()));
  text.Add("epoch", EpochText(info.epoch()));
  text.Add("up", FormatDuration(milliseconds(info.uptime_ms())));
  std::string health = info.health();
  if (info.health_reasons_size() > 0) health += ": " + Join(info.health_reasons());
  text.Add("health", std::move(health));
  text.Add("listens", fmt::format("{} (gRPC), {} (data), {} (HTTP)", info.listen(),
                                  info.data_listen(), info.http_listen()));
  text.Add("transports", Join(Transports(info)));
  text.Add("memory", MemoryText(info, stats));
  text.Add("disk", DiskText(info, stats));
  text.Add("eviction", info.eviction_policy());
  return text.Render();
}

std::string SessionsText(const v1::GetNodeInfoResponse& info) {
  if (info.sessions().empty()) return "no sessions\n";
  using Align = Table::Align;
  Table table({{"SESSION"},
               {"CLIENT"},
               {"PID", Align::kRight},
               {"LANES", Align::kRight},
               {"LEASES", Align::kRight},
               {"AGE", Align::kRight},
               {"SILENT", Align::kRight}});
  for (const v1::SessionInfo& session : info.sessions()) {
    table.AddRow({session.session(), PrintableKey(session.client_name(), 40),
                  std::to_string(session.pid()), std::to_string(session.lanes()),
                  std::to_string(session.leases()),
                  FormatDuration(milliseconds(session.age_ms())),
                  FormatDuration(milliseconds(session.silent_ms()))});
  }
  return table.Render();
}

// Every value, or those that are not zero.
std::string StatsText(const v1::GetStatsResponse& stats, bool all) {
  Properties text;
  for (const auto& [name, value] :
       std::map<std::string, double>(stats.values().begin(), stats.values().end())) {
    if (all || value != 0) text.Add(name, fmt::format("{:.15g}", value));
  }
  return text.Render();
}

}  // namespace

NodeCommands::NodeCommands(CLI::App* app, Invocation* invocation)
    : invocation_(invocation) {
  CLI::App* const ping = app->add_subcommand("ping", "Ask whether the node answers");
  ping->add_option("--count", pings_, "How many times")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  ping->callback([this] { invocation_->Run([this] { return Ping(); }); });

  CLI::App* const info =
      app->add_subcommand("info", "Show the node, its sessions and its counters");
  info->add_flag("--all", all_stats_, "Also counters that are zero");
  info->callback([this] { invocation_->Run([this] { return Info(); }); });
}

absl::StatusOr<ExitCode> NodeCommands::Ping() {
  const auto admin = invocation_->Admin();
  if (!admin.ok()) return admin.status();
  LatencyHistogram latency;
  v1::PingResponse answer;
  for (size_t i = 0; i < pings_; ++i) {
    const Instant start = invocation_->env.clock->Now();
    const auto response = (*admin)->Ping({});
    if (!response.ok()) return response.status();
    latency.Add(invocation_->env.clock->Now() - start);
    answer = *response;
  }
  const Percentiles round_trip = latency.percentiles();
  invocation_->Print(
      [&] {
        return fmt::format(
            "{} at {}, epoch {}, up {}: {} of {} answered, p50 {:.1f} us, p99 {:.1f} "
            "us\n",
            answer.node_name(), invocation_->server, EpochText(answer.epoch()),
            FormatDuration(milliseconds(answer.uptime_ms())), pings_, pings_,
            round_trip.p50_us, round_trip.p99_us);
      },
      [&]() -> Json {
        return {{"server", invocation_->server},
                {"node_name", answer.node_name()},
                {"epoch", EpochText(answer.epoch())},
                {"uptime_ms", answer.uptime_ms()},
                {"count", pings_},
                {"round_trip_us", ToJson(round_trip)}};
      });
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> NodeCommands::Info() {
  const auto admin = invocation_->Admin();
  if (!admin.ok()) return admin.status();
  const auto info = (*admin)->GetNodeInfo({});
  if (!info.ok()) return info.status();
  const auto stats = (*admin)->GetStats({});
  if (!stats.ok()) return stats.status();
  invocation_->Print(
      [&] {
        return fmt::format("{}\n{}\n{}", InfoText(*info, *stats),
                           SessionsText(*info), StatsText(*stats, all_stats_));
      },
      [&] { return InfoJson(*info, *stats); });
  return ExitCode::kOk;
}

}  // namespace kvasir
