#ifndef KVASIR_CLIENT_CLI_REPLAY_COMMAND_H_
#define KVASIR_CLIENT_CLI_REPLAY_COMMAND_H_

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/exit_code.h"
#include "client/cli/invocation.h"
#include "client/cli/replay/replayer.h"
#include "client/cli/replay/trace.h"

namespace kvasir {

// replay: the main job, from a trace. Must outlive the parse; so must `app` and
// `invocation`.
class ReplayCommand {
 public:
  ReplayCommand(CLI::App* app, Invocation* invocation);

 private:
  absl::StatusOr<ExitCode> Replay();
  absl::StatusOr<ReplayOptions> ParseOptions() const;
  absl::StatusOr<Trace> ReadTraceFile() const;
  ExitCode Judge(const ReplayReport& report);

  Invocation* const invocation_;
  std::string trace_file_;
  std::string block_bytes_text_ = "256KiB";
  std::string batch_bytes_text_ = "32MiB";
  std::string model_;
  std::string kv_dtype_ = "bf16";
  std::string transport_ = "auto";
  std::string durable_ = "none";
  std::string run_for_text_;
  std::string name_;
  size_t concurrency_ = 1;
  size_t requests_ = 0;
  double speedup_ = 0;
  bool keep_ = false;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_REPLAY_COMMAND_H_
