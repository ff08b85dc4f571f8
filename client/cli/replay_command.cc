#include "client/cli/replay_command.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "base/random.h"
#include "client/cli/arguments.h"
#include "client/cli/progress.h"
#include "client/cli/replay/model_preset.h"
#include "client/cli/replay/report.h"
#include "client/cli/workers.h"

namespace kvasir {

ReplayCommand::ReplayCommand(CLI::App* app, Invocation* invocation)
    : invocation_(invocation) {
  CLI::App* const replay = app->add_subcommand(
      "replay", "Replay a prefix-cache trace and verify every byte that comes back");
  replay
      ->add_option("trace", trace_file_,
                   "JSON lines, as released with Mooncake; - is stdin")
      ->required();
  auto* const block =
      replay->add_option("--block_bytes", block_bytes_text_, "Size of a block")
          ->capture_default_str();
  replay->add_option("--model", model_, "Blocks as large as this model's; see below")
      ->excludes(block);
  replay->add_option("--kv_dtype", kv_dtype_, "With --model: bf16, fp16 or fp8")
      ->capture_default_str();
  AddTransportOption(replay, &transport_);
  replay->add_option("--concurrency", concurrency_, "Requests at a time")
      ->check(CLI::Range(size_t{1}, kMaxWorkers))
      ->capture_default_str();
  replay
      ->add_option("--speedup", speedup_,
                   "Keep the trace's times, so many times faster; 0: do not wait")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  replay->add_option("--requests", requests_, "Only the first so many; 0: all")
      ->capture_default_str();
  replay->add_option("--seconds", run_for_text_, "Begin no request after so many seconds")
      ->check(CLI::PositiveNumber);
  replay
      ->add_option("--batch_bytes", batch_bytes_text_, "Buffer of each request under way")
      ->capture_default_str();
  replay->add_option(
      "--name", name_,
      "Begins the keys; the same name finds the same blocks (default: random)");
  replay->add_flag("--keep", keep_, "Leave the blocks in the node");
  AddDurableOption(replay, &durable_);
  replay->footer(DescribeModelPresets());
  replay->callback([this] { invocation_->Run([this] { return Replay(); }); });
}

absl::StatusOr<ReplayOptions> ReplayCommand::ParseOptions() const {
  ReplayOptions options;
  const auto block_bytes = model_.empty() ? ParseBlockBytes(block_bytes_text_)
                                          : ModelBlockBytes(model_, kv_dtype_);
  if (!block_bytes.ok()) return block_bytes.status();
  const auto batch_bytes = ParseSize(batch_bytes_text_);
  if (!batch_bytes.ok()) return batch_bytes.status();
  options.block_bytes = *block_bytes;
  options.batch_bytes = *batch_bytes;
  options.concurrency = concurrency_;
  options.speedup = speedup_;
  options.durability = DurabilityNamed(durable_);
  if (!run_for_text_.empty()) {
    const auto run_for = ParseDuration(run_for_text_ + "s");
    if (!run_for.ok()) return run_for.status();
    options.run_for = *run_for;
  }
  // The size is part of the name: blocks of another size would be other blocks.
  const std::string name =
      name_.empty() ? fmt::format("{:016x}", SecureRandom64()) : name_;
  options.key_prefix = fmt::format("replay/{}/{}/", name, options.block_bytes);
  if (options.key_prefix.size() + 20 > kMaxKeyBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "--name: {} bytes make keys longer than {}", name.size(), kMaxKeyBytes));
  }
  options.interrupted = invocation_->env.interrupted;
  options.wait = [](std::chrono::nanoseconds span) {
    absl::SleepFor(absl::FromChrono(span));
  };
  return options;
}

absl::StatusOr<Trace> ReplayCommand::ReadTraceFile() const {
  const size_t requests_max = requests_ == 0 ? SIZE_MAX : requests_;
  if (trace_file_ == "-") {
    return ReadTrace(*invocation_->env.in, "standard input", requests_max);
  }
  std::ifstream in(trace_file_);
  if (!in) {
    return absl::InvalidArgumentError(
        ErrnoStatus(errno, fmt::format("open {}", trace_file_)).message());
  }
  return ReadTrace(in, trace_file_, requests_max);
}

ExitCode ReplayCommand::Judge(const ReplayReport& report) {
  const ReplayCounts& counts = report.counts;
  if (counts.mismatches > 0) {
    invocation_->Note(
        fmt::format("{} blocks came back with wrong bytes; the first was {}",
                    counts.mismatches, report.first_mismatch));
    return ExitCode::kError;
  }
  if (counts.puts_refused + counts.put_failures > 0) {
    invocation_->Note(fmt::format("{} puts were refused and {} failed; the first: {}",
                                  counts.puts_refused, counts.put_failures,
                                  report.first_put_failure));
  }
  // A node that is full refuses; that is an answer. One that fails did only part.
  return counts.put_failures > 0 ? ExitCode::kPartial : ExitCode::kOk;
}

absl::StatusOr<ExitCode> ReplayCommand::Replay() {
  const auto options = ParseOptions();
  if (!options.ok()) return options.status();
  const auto trace = ReadTraceFile();
  if (!trace.ok()) return trace.status();
  const auto client = invocation_->Data(transport_, concurrency_);
  if (!client.ok()) return client.status();

  absl::StatusOr<ReplayReport> report;
  {
    Progress progress({.err = invocation_->env.err,
                       .terminal = invocation_->env.err_is_terminal,
                       .clock = invocation_->env.clock,
                       .label = "replay",
                       .total = trace->requests.size()});
    Replayer replayer(client->get(), invocation_->env.clock, &*trace, *options,
                      &progress);
    report = replayer.Run();
  }
  const ReplaySetting setting = {.trace = trace_file_,
                                 .server = invocation_->server,
                                 .transport = TransportsUsed(**client),
                                 .durable = durable_};
  if (!keep_) invocation_->RemovePrefix(options->key_prefix);
  if (!report.ok()) return report.status();
  invocation_->Print([&] { return ReplayText(*report, *options, setting); },
                     [&] { return ReplayJson(*report, *options, setting); });
  return Judge(*report);
}

}  // namespace kvasir
