#ifndef KVASIR_CLIENT_CLI_ENVIRONMENT_H_
#define KVASIR_CLIENT_CLI_ENVIRONMENT_H_

#include <atomic>
#include <functional>
#include <istream>
#include <memory>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/admin_client.h"
#include "client/client.h"

// All that a command touches outside itself; main fills it with the real things, tests
// with others. None of the pointers is owned.
namespace kvasir {

inline constexpr char kDefaultServer[] = "127.0.0.1:7450";

struct Environment {
  std::istream* in = nullptr;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  bool err_is_terminal = false;
  std::string default_server = kDefaultServer;
  const Clock* clock = nullptr;
  // Becomes true when the user wants a long command to stop and report (SIGINT).
  const std::atomic<bool>* interrupted = nullptr;

  std::function<absl::StatusOr<std::unique_ptr<AdminClient>>(const AdminOptions&)>
      connect_admin;
  std::function<absl::StatusOr<std::unique_ptr<Client>>(const ClientOptions&)>
      connect_client;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_ENVIRONMENT_H_
