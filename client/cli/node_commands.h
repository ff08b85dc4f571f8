#ifndef KVASIR_CLIENT_CLI_NODE_COMMANDS_H_
#define KVASIR_CLIENT_CLI_NODE_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <cstddef>

#include "absl/status/statusor.h"
#include "client/cli/exit_code.h"
#include "client/cli/invocation.h"

namespace kvasir {

// ping, info. Must outlive the parse; so must `app` and `invocation`.
class NodeCommands {
 public:
  NodeCommands(CLI::App* app, Invocation* invocation);

 private:
  absl::StatusOr<ExitCode> Ping();
  absl::StatusOr<ExitCode> Info();

  Invocation* const invocation_;
  size_t pings_ = 1;
  bool all_stats_ = false;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_NODE_COMMANDS_H_
