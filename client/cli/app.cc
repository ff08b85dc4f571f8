#include "client/cli/app.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/nearest_name.h"
#include "client/cli/bench_command.h"
#include "client/cli/data_commands.h"
#include "client/cli/invocation.h"
#include "client/cli/key_commands.h"
#include "client/cli/node_commands.h"
#include "client/cli/pin_commands.h"
#include "client/cli/replay_command.h"

namespace kvasir {
namespace {

constexpr char kFooter[] =
    "Exit status: 0 done, 1 error, 2 usage, 3 done in part, 4 not found, 5 unreachable.\n"
    "`kvasir COMMAND --help` shows the options of a command.";

void AddGlobalOptions(CLI::App* app, Invocation* invocation) {
  app->require_subcommand(1);
  // Global options are taken before and after the command alike.
  app->fallthrough();
  app->footer(kFooter);
  app->add_option("--server", invocation->server,
                  "Node, as HOST:PORT or unix:PATH [env: KVASIR_SERVER]")
      ->capture_default_str();
  app->add_option("--timeout", invocation->timeout_text, "Deadline of each call")
      ->capture_default_str();
  app->add_option("--rdma_device", invocation->rdma_device,
                  "RDMA devices to use, with commas; by default the first that works");
  app->add_option("--rdma_port", invocation->rdma_port, "Port of it; 0: the first active")
      ->check(CLI::Range(0, 255))
      ->capture_default_str();
  app->add_option("--rdma_gid_index", invocation->rdma_gid_index,
                  "Row of its GID table; -1: the best")
      ->check(CLI::Range(-1, 255))
      ->capture_default_str();
  app->add_option("-o,--output", invocation->format_text,
                  "table for people, json for programs")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
}

// What was given in place of a command, if that is why `app` could not be parsed: CLI11
// itself says only that a command is required.
std::string UnknownCommand(const CLI::App& app) {
  for (const std::string& word : app.remaining()) {
    if (!word.starts_with('-')) return word;
  }
  return "";
}

int ReportUnknownCommand(const std::string& word, const CLI::App& app, std::ostream& err) {
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands({})) {
    commands.push_back(command->get_name());
  }
  const std::vector<std::string_view> names(commands.begin(), commands.end());
  err << "kvasir: there is no command `" << word << "`; did you mean `"
      << NearestName(word, names) << "`?\n`kvasir --help` lists the commands.\n";
  return static_cast<int>(ExitCode::kUsage);
}

}  // namespace

ExitCode RunApp(const std::vector<std::string>& arguments,
                const Environment& environment) {
  Invocation invocation(environment);
  invocation.server = environment.default_server;
  CLI::App app("The command line of Kvasir, a remote KV-cache store.", "kvasir");
  AddGlobalOptions(&app, &invocation);
  const NodeCommands node(&app, &invocation);
  const KeyCommands keys(&app, &invocation);
  const DataCommands data(&app, &invocation);
  const PinCommands pins(&app, &invocation);
  const ReplayCommand replay(&app, &invocation);
  const BenchCommand bench(&app, &invocation);
  // CLI11 takes its arguments from the back.
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {  // CLI11 knows no other way.
    const std::string word = app.get_subcommands().empty() ? UnknownCommand(app) : "";
    const int code = word.empty()
                         ? app.exit(error, *environment.out, *environment.err)
                         : ReportUnknownCommand(word, app, *environment.err);
    return code == 0 ? ExitCode::kOk : ExitCode::kUsage;
  }
  return invocation.exit_code;
}

}  // namespace kvasir
