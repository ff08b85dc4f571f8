#ifndef KVASIR_CLIENT_CLI_KEY_COMMANDS_H_
#define KVASIR_CLIENT_CLI_KEY_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/exit_code.h"
#include "client/cli/invocation.h"

namespace kvasir {

// ls, stat, exists, rm. Must outlive the parse; so must `app` and `invocation`.
class KeyCommands {
 public:
  KeyCommands(CLI::App* app, Invocation* invocation);

 private:
  absl::StatusOr<ExitCode> Ls();
  absl::StatusOr<ExitCode> Stat();
  absl::StatusOr<ExitCode> Exists();
  absl::StatusOr<ExitCode> Rm();
  absl::StatusOr<ExitCode> RmKeys();
  absl::StatusOr<ExitCode> Clear();

  Invocation* const invocation_;
  std::vector<std::string> keys_;
  std::string prefix_;
  uint64_t limit_ = 1000;
  std::string page_token_;
  bool all_ = false;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_KEY_COMMANDS_H_
