#include "rdma/shm_listener.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/random.h"

namespace kvasir {
namespace {

constexpr int kBacklog = 256;
constexpr size_t kNamesScannedMax = 4096;
constexpr std::string_view kPrefix = "shm-";
constexpr std::string_view kSuffix = ".sock";

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        fmt::format("shm: socket path of {} bytes, at most {} fit: {}", path.size(),
                    sizeof(address.sun_path) - 1, path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

UniqueFd NewSocket(int flags) {
  return UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
}

// 0 or an errno value.
int ConnectTo(int fd, const sockaddr_un& address) {
  int failed = -1;
  do {
    failed = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  } while (failed != 0 && errno == EINTR);
  return failed == 0 ? 0 : errno;
}

mode_t DirectoryMode(ShmReach reach) { return reach == ShmReach::kOwner ? 0700 : 0711; }

absl::Status CheckDirectory(const std::string& directory, ShmReach reach) {
  struct stat found {};
  if (lstat(directory.c_str(), &found) != 0) {
    return ErrnoStatus(errno, fmt::format("shm: look at directory {}", directory));
  }
  if (!S_ISDIR(found.st_mode)) {
    return absl::FailedPreconditionError(
        fmt::format("shm: {} is not a directory (links do not count)", directory));
  }
  if (found.st_uid != geteuid()) {
    return absl::PermissionDeniedError(
        fmt::format("shm: directory {} belongs to uid {}, not to {}", directory,
                    found.st_uid, geteuid()));
  }
  const mode_t mode = found.st_mode & 0777;
  if (mode != DirectoryMode(reach)) {
    return absl::PermissionDeniedError(
        fmt::format("shm: directory {} has mode {:04o}, it must have {:04o}", directory,
                    mode, DirectoryMode(reach)));
  }
  return absl::OkStatus();
}

absl::Status PrepareDirectory(const std::string& directory, ShmReach reach) {
  if (mkdir(directory.c_str(), 0700) == 0) {
    // Not left to mkdir: a umask could take bits away that other users need.
    if (chmod(directory.c_str(), DirectoryMode(reach)) != 0) {
      return ErrnoStatus(errno, fmt::format("shm: chmod directory {}", directory));
    }
  } else if (errno != EEXIST) {
    return ErrnoStatus(errno, fmt::format("shm: create directory {}", directory));
  }
  return CheckDirectory(directory, reach);
}

// Whether `path` is a socket of ours that no process listens on any more.
bool IsStale(const std::string& path) {
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode) ||
      found.st_uid != geteuid()) {
    return false;
  }
  const absl::StatusOr<sockaddr_un> address = AddressOf(path);
  const UniqueFd probe = NewSocket(SOCK_NONBLOCK);
  return address.ok() && probe.valid() &&
         ConnectTo(probe.get(), *address) == ECONNREFUSED;
}

void RemoveStaleSockets(const std::string& directory) {
  DIR* const entries = opendir(directory.c_str());
  if (entries == nullptr) return;  // Stale names cost nothing but space.
  size_t scanned = 0;
  for (dirent* entry = readdir(entries); entry != nullptr && scanned < kNamesScannedMax;
       entry = readdir(entries), ++scanned) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const std::string path = fmt::format("{}/{}", directory, name);
    if (IsStale(path)) unlink(path.c_str());
  }
  closedir(entries);
}

// Binds and listens under a name that no scan looks at, then moves the socket to
// `path`: between bind and listen a socket refuses connections, and another server
// that starts just then would take it for a stale one.
absl::StatusOr<UniqueFd> ListenAt(const std::string& path,
                                  const std::string& path_while_new, ShmReach reach) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(path_while_new);
  if (!address.ok()) return address.status();
  UniqueFd fd = NewSocket(SOCK_NONBLOCK);
  if (!fd.valid()) return ErrnoStatus(errno, "shm: create socket");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) !=
      0) {
    return ErrnoStatus(errno, fmt::format("shm: bind {}", path_while_new));
  }
  const mode_t mode = reach == ShmReach::kOwner ? 0600 : 0666;
  if (chmod(path_while_new.c_str(), mode) != 0 || listen(fd.get(), kBacklog) != 0 ||
      std::rename(path_while_new.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(path_while_new.c_str());
    return ErrnoStatus(error, fmt::format("shm: listen at {}", path));
  }
  return fd;
}

}  // namespace

ShmListener::ShmListener(UniqueFd socket, std::string path)
    : socket_(std::move(socket)), path_(std::move(path)) {}

ShmListener::~ShmListener() { unlink(path_.c_str()); }

absl::StatusOr<std::unique_ptr<ShmListener>> ShmListener::Listen(
    const std::string& directory, ShmReach reach) {
  const std::string name = fmt::format("{:016x}{}", SecureRandom64(), kSuffix);
  std::string path = fmt::format("{}/{}{}", directory, kPrefix, name);
  // Before anything is created, so that the error leaves nothing behind.
  if (absl::Status fits = AddressOf(path).status(); !fits.ok()) return fits;
  if (absl::Status ready = PrepareDirectory(directory, reach); !ready.ok()) return ready;
  RemoveStaleSockets(directory);
  absl::StatusOr<UniqueFd> fd =
      ListenAt(path, fmt::format("{}/new-{}", directory, name), reach);
  if (!fd.ok()) return fd.status();
  return std::unique_ptr<ShmListener>(new ShmListener(*std::move(fd), std::move(path)));
}

absl::StatusOr<UniqueFd> ShmListener::Accept() const {
  UniqueFd accepted(accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (accepted.valid()) return accepted;
  switch (errno) {
    case EAGAIN:
    case EINTR:
    case ECONNABORTED:
      return UniqueFd();
    case ENOBUFS:
      return absl::ResourceExhaustedError("shm: accept: no buffers");
    default:
      return ErrnoStatus(errno, "shm: accept");
  }
}

std::string DefaultShmDirectory() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime != '\0') return fmt::format("{}/kvasir", runtime);
  return fmt::format("/tmp/kvasir-{}", geteuid());
}

namespace {

bool DirectoryExists(const std::string& socket_path) {
  struct stat found {};
  const std::string directory = socket_path.substr(0, socket_path.rfind('/'));
  return stat(directory.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

absl::Status NotReachable(const std::string& path, int error) {
  return absl::FailedPreconditionError(
      fmt::format("shm: socket {} cannot be reached from here: {}", path,
                  std::generic_category().message(error)));
}

}  // namespace

absl::StatusOr<UniqueFd> ConnectShmSocket(const std::string& path, const Clock* clock,
                                          Instant deadline) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(path);
  if (!address.ok()) return address.status();
  UniqueFd fd = NewSocket(0);
  if (!fd.valid()) return ErrnoStatus(errno, "shm: create socket");
  // A connect waits while the listener's queue is full, and this is what bounds it.
  const auto left = std::max(
      std::chrono::duration_cast<std::chrono::microseconds>(deadline - clock->Now()),
      std::chrono::microseconds(1));
  const timeval wait_max{left.count() / 1'000'000, left.count() % 1'000'000};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait_max, sizeof(wait_max));
  const int error = ConnectTo(fd.get(), *address);
  switch (error) {
    case 0:
      return fd;
    case ENOENT:
      // With the directory still here it is the server that has gone.
      if (DirectoryExists(path)) {
        return absl::UnavailableError(fmt::format("shm: no server at socket {}", path));
      }
      return NotReachable(path, error);
    case EAGAIN:
      return absl::DeadlineExceededError(
          fmt::format("shm: connect to {}: no answer", path));
    case EACCES:
    case ENOTDIR:
    case EPERM:
      return NotReachable(path, error);
    default:
      return ErrnoStatus(error, fmt::format("shm: connect to {}", path));
  }
}

}  // namespace kvasir
