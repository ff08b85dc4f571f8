#include "client/cli/bench_command.h"

#include <fmt/core.h>

#include <chrono>
#include <cmath>
#include <string_view>

#include "base/bytes.h"
#include "base/count_text.h"
#include "base/limits.h"
#include "base/random.h"
#include "client/cli/arguments.h"
#include "client/cli/load.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"
#include "client/cli/workers.h"

namespace kvasir {
namespace {

Json PhaseJson(const LoadPhase& phase) {
  return {
      {"batches", phase.batches},
      {"blocks", phase.blocks},
      {"failures", phase.failures},
      {"mismatches", phase.mismatches},
      {"bytes", phase.bytes},
      {"gb_per_s", std::round(GigabytesPerSecond(phase.bytes, phase.busy) * 1e6) / 1e6},
      {"batch_us", ToJson(phase.latency.percentiles())}};
}

void AddPhase(std::string_view name, const LoadPhase& phase, Table* table) {
  const Percentiles p = phase.latency.percentiles();
  table->AddRow({std::string(name), std::to_string(phase.batches),
                 FormatSize(phase.bytes),
                 fmt::format("{:.2f}", GigabytesPerSecond(phase.bytes, phase.busy)),
                 fmt::format("{:.1f}", p.p50_us), fmt::format("{:.1f}", p.p95_us),
                 fmt::format("{:.1f}", p.p99_us), std::to_string(phase.failures),
                 std::to_string(phase.mismatches)});
}

}  // namespace

BenchCommand::BenchCommand(CLI::App* app, Invocation* invocation)
    : invocation_(invocation) {
  CLI::App* const bench = app->add_subcommand("bench", "Measure batched puts and gets");
  bench->add_option("--block_bytes", block_bytes_text_, "Size of a block")
      ->capture_default_str();
  bench->add_option("--keys", keys_, "Blocks a batch")
      ->check(CLI::Range(size_t{1}, kMaxKeysPerCall))
      ->capture_default_str();
  bench->add_option("--seconds", seconds_, "Time for puts, and again for gets")
      ->check(CLI::Range(0.0, 86'400.0))
      ->capture_default_str();
  bench->add_option("--concurrency", concurrency_, "Batches at a time")
      ->check(CLI::Range(size_t{1}, kMaxWorkers))
      ->capture_default_str();
  AddTransportOption(bench, &transport_);
  AddDurableOption(bench, &durable_);
  bench->add_flag("--verify,!--no_verify", verify_, "Compare every byte that comes back");
  bench->callback([this] { invocation_->Run([this] { return Bench(); }); });
}

absl::StatusOr<ExitCode> BenchCommand::Bench() {
  const auto block_bytes = ParseBlockBytes(block_bytes_text_);
  if (!block_bytes.ok()) return block_bytes.status();
  const auto client = invocation_->Data(transport_, concurrency_);
  if (!client.ok()) return client.status();
  const LoadOptions options = {
      .block_bytes = *block_bytes,
      .keys = keys_,
      .concurrency = concurrency_,
      .phase = std::chrono::nanoseconds(std::llround(seconds_ * 1e9)),
      .durability = DurabilityNamed(durable_),
      .verify = verify_,
      .key_prefix = fmt::format("bench/{:016x}/", SecureRandom64()),
      .interrupted = invocation_->env.interrupted};
  absl::StatusOr<LoadReport> report;
  {
    Progress progress({.err = invocation_->env.err,
                       .terminal = invocation_->env.err_is_terminal,
                       .clock = invocation_->env.clock,
                       .label = "bench (ms)",
                       .total = static_cast<uint64_t>(seconds_ * 1000)});
    Load load(client->get(), invocation_->env.clock, options, &progress);
    report = load.Run();
  }
  const std::string transport = TransportsUsed(**client);
  invocation_->RemovePrefix(options.key_prefix);
  if (!report.ok()) return report.status();
  using Align = Table::Align;
  invocation_->Print(
      [&] {
        Table table({{fmt::format("OVER {}", transport)},
                     {"BATCHES", Align::kRight},
                     {"BYTES", Align::kRight},
                     {"GB/S", Align::kRight},
                     {"P50 US", Align::kRight},
                     {"P95 US", Align::kRight},
                     {"P99 US", Align::kRight},
                     {"FAILURES", Align::kRight},
                     {"MISMATCHES", Align::kRight}});
        AddPhase("put", report->put, &table);
        AddPhase("get", report->get, &table);
        return table.Render();
      },
      [&]() -> Json {
        return {{"server", invocation_->server}, {"transport", transport},
                {"block_bytes", *block_bytes},   {"keys", keys_},
                {"concurrency", concurrency_},   {"durable", durable_},
                {"put", PhaseJson(report->put)}, {"get", PhaseJson(report->get)}};
      });
  for (const LoadPhase* phase : {&report->put, &report->get}) {
    if (phase->failures > 0) {
      invocation_->Note(fmt::format("{} failed; the first: {}",
                                    CountText(phase->failures, "block"),
                                    phase->first_failure));
    }
  }
  if (report->get.mismatches > 0) {
    invocation_->Note(
        fmt::format("{} came back with wrong bytes",
                    CountText(report->get.mismatches, "block")));
    return ExitCode::kError;
  }
  const uint64_t failures = report->put.failures + report->get.failures;
  return failures > 0 ? ExitCode::kPartial : ExitCode::kOk;
}

}  // namespace kvasir
