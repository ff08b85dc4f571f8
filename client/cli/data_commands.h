#ifndef KVASIR_CLIENT_CLI_DATA_COMMANDS_H_
#define KVASIR_CLIENT_CLI_DATA_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/exit_code.h"
#include "client/cli/invocation.h"

namespace kvasir {

// put, get: one block between a file, or standard input and output, and the node. Must
// outlive the parse; so must `app` and `invocation`.
class DataCommands {
 public:
  DataCommands(CLI::App* app, Invocation* invocation);

 private:
  absl::StatusOr<ExitCode> Put();
  absl::StatusOr<ExitCode> Get();
  // The whole of file_; InvalidArgument if it is empty or larger than a block may be.
  absl::StatusOr<std::string> ReadInput() const;
  absl::Status WriteOutput(std::string_view bytes) const;
  // OK if what is stored under `key` are these very bytes.
  absl::Status CompareWithStored(const std::string& key, std::string_view bytes) const;

  Invocation* const invocation_;
  std::string key_;
  std::string file_ = "-";
  std::string attributes_;
  std::string transport_ = "auto";
  bool replace_ = false;
  std::string durable_ = "none";
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_DATA_COMMANDS_H_
