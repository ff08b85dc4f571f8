#ifndef KVASIR_CLIENT_CLI_BENCH_COMMAND_H_
#define KVASIR_CLIENT_CLI_BENCH_COMMAND_H_

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/exit_code.h"
#include "client/cli/invocation.h"

namespace kvasir {

// bench: how fast batches of blocks go to a node and come back. Must outlive the parse;
// so must `app` and `invocation`.
class BenchCommand {
 public:
  BenchCommand(CLI::App* app, Invocation* invocation);

 private:
  absl::StatusOr<ExitCode> Bench();

  Invocation* const invocation_;
  std::string block_bytes_text_ = "1MiB";
  std::string transport_ = "auto";
  std::string durable_ = "none";
  size_t keys_ = 64;
  double seconds_ = 3;
  size_t concurrency_ = 1;
  bool verify_ = true;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_BENCH_COMMAND_H_
