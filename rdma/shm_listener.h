#ifndef KVASIR_RDMA_SHM_LISTENER_H_
#define KVASIR_RDMA_SHM_LISTENER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fd.h"

namespace kvasir {

// Who may reach a socket's directory. The peer's uid is checked besides.
enum class ShmReach : uint8_t {
  kOwner,    // directory 0700, socket 0600
  kAnyUser,  // directory 0711, socket 0666: for servers that allow other uids
};

// A listening unix socket with a name of its own in a directory that several servers
// may share. The name goes when the object dies; names left by servers that crashed go
// when the next one starts. Immutable; thread-safe.
class ShmListener {
 public:
  // Creates `directory` if it is missing (its parent must be there), checks that it
  // belongs to this user and has the mode that `reach` asks for, and listens.
  // PermissionDenied if the owner or the mode is another; InvalidArgument if the name
  // would not fit into a socket address; FailedPrecondition if it is no directory.
  static absl::StatusOr<std::unique_ptr<ShmListener>> Listen(const std::string& directory,
                                                             ShmReach reach);
  ~ShmListener();

  int fd() const { return socket_.get(); }
  const std::string& path() const { return path_; }
  // A connection that waits to be accepted, non-blocking. An invalid fd if none does;
  // ResourceExhausted if this process is out of descriptors.
  absl::StatusOr<UniqueFd> Accept() const;

 private:
  ShmListener(UniqueFd socket, std::string path);

  const UniqueFd socket_;
  const std::string path_;
};

// $XDG_RUNTIME_DIR/kvasir, else /tmp/kvasir-<uid>.
std::string DefaultShmDirectory();

// Connects to a listener. FailedPrecondition if its directory is not here or not open to
// this user (another host or container); Unavailable if the server is gone;
// DeadlineExceeded if its queue stays full.
absl::StatusOr<UniqueFd> ConnectShmSocket(const std::string& path, const Clock* clock,
                                          Instant deadline);

}  // namespace kvasir

#endif  // KVASIR_RDMA_SHM_LISTENER_H_
