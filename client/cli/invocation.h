#ifndef KVASIR_CLIENT_CLI_INVOCATION_H_
#define KVASIR_CLIENT_CLI_INVOCATION_H_

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/durability.h"
#include "client/cli/environment.h"
#include "client/cli/exit_code.h"
#include "client/cli/output.h"

// What the commands share. Each group of commands is a class that declares its
// sub-commands when it is made, keeps their options, and runs them through Run.
namespace kvasir {

// One run of the program. Not thread-safe.
class Invocation {
 public:
  explicit Invocation(const Environment& environment) : env(environment) {}
  Invocation(const Invocation&) = delete;
  Invocation& operator=(const Invocation&) = delete;

  const Environment& env;
  // Set by the parser, before a command runs.
  std::string server;
  std::string timeout_text = "5s";
  std::string format_text = "table";
  std::string rdma_device;
  uint32_t rdma_port = 0;
  int rdma_gid_index = -1;
  ExitCode exit_code = ExitCode::kOk;

  // Runs a command and turns its error into words and an exit code.
  void Run(const std::function<absl::StatusOr<ExitCode>()>& command);

  bool json() const { return format_text == "json"; }
  // One of the two to standard output, as -o says. Both are called at most once.
  void Print(const std::function<std::string()>& text,
             const std::function<Json()>& object);
  // A remark to standard error.
  void Note(std::string_view text);

  absl::StatusOr<std::chrono::milliseconds> timeout() const;
  absl::StatusOr<std::unique_ptr<AdminClient>> Admin() const;
  // `transport`: auto, rdma, shm or tcp. Of `batches` at a time.
  absl::StatusOr<std::unique_ptr<Client>> Data(const std::string& transport,
                                               size_t batches) const;
  // Takes what a command left in the node out again; a remark if that fails.
  void RemovePrefix(const std::string& key_prefix);
};

// The transports that moved bytes, as in "shm" or "shm+tcp"; else the one in use.
std::string TransportsUsed(const Client& client);
// Declares --transport with its choices.
void AddTransportOption(CLI::App* command, std::string* transport);
// Declares --durable: what the blocks that the command puts are to survive.
void AddDurableOption(CLI::App* command, std::string* durable);
// REQUIRES: one of the choices of --durable.
Durability DurabilityNamed(std::string_view name);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_INVOCATION_H_
