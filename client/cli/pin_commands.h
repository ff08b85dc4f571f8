#ifndef KVASIR_CLIENT_CLI_PIN_COMMANDS_H_
#define KVASIR_CLIENT_CLI_PIN_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/exit_code.h"
#include "client/cli/invocation.h"

namespace kvasir {

// pin, unpin. Must outlive the parse; so must `app` and `invocation`.
class PinCommands {
 public:
  PinCommands(CLI::App* app, Invocation* invocation);

 private:
  absl::StatusOr<ExitCode> Pin();
  absl::StatusOr<ExitCode> ListPins();
  absl::StatusOr<ExitCode> Unpin();

  Invocation* const invocation_;
  std::vector<std::string> keys_;
  std::string owner_ = "kvasir-cli";
  std::string ttl_text_ = "10m";
  bool list_ = false;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_PIN_COMMANDS_H_
