#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "client/cli/app.h"
#include "client/cli/environment.h"
#include "client/client.h"
#include "client/node_client_admin.h"

namespace {

std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

// The first asks the command to stop and report; the second ends it.
extern "C" void OnInterrupt(int) {
  interrupted.store(true);
  std::signal(SIGINT, SIG_DFL);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, OnInterrupt);
  std::signal(SIGPIPE, SIG_IGN);
  kvasir::SetLogLevel(kvasir::LogLevel::kWarning);

  kvasir::Environment environment;
  environment.in = &std::cin;
  environment.out = &std::cout;
  environment.err = &std::cerr;
  environment.err_is_terminal = isatty(STDERR_FILENO) == 1;
  if (const char* server = std::getenv("KVASIR_SERVER");
      server != nullptr && *server != 0) {
    environment.default_server = server;
  }
  environment.clock = kvasir::Clock::Real();
  environment.interrupted = &interrupted;
  environment.connect_admin = kvasir::ConnectAdmin;
  environment.connect_client = kvasir::Client::Connect;
  return static_cast<int>(
      kvasir::RunApp(std::vector<std::string>(argv + 1, argv + argc), environment));
}
