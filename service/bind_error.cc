#include "service/bind_error.h"

#include <fmt/core.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "base/fd.h"

namespace kvasir {
namespace {

// The errno of binding and listening there once; 0 if it goes.
int TryToListen(const addrinfo& address) {
  const UniqueFd socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return errno;
  const int yes = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (bind(socket.get(), address.ai_addr, address.ai_addrlen) != 0) return errno;
  return listen(socket.get(), 1) == 0 ? 0 : errno;
}

}  // namespace

absl::Status BindError(std::string_view setting, const ListenAddress& address) {
  const std::string what =
      fmt::format("{}: cannot listen on {}", setting, address.ToString());
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(address.host.c_str(),
                                 std::to_string(address.port).c_str(), &hints, &found);
  if (failed != 0) {
    return absl::UnavailableError(fmt::format("{}: {}", what, gai_strerror(failed)));
  }
  const int error = TryToListen(*found);
  freeaddrinfo(found);
  if (error == EADDRINUSE) {
    return absl::UnavailableError(fmt::format(
        "{}: the port is in use; stop who uses it, choose another, or 0 for any free one",
        what));
  }
  return error == 0 ? absl::UnavailableError(what) : ErrnoStatus(error, what);
}

}  // namespace kvasir
