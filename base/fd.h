#ifndef KVASIR_BASE_FD_H_
#define KVASIR_BASE_FD_H_

#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace kvasir {

// Owns one file descriptor. Move-only; -1 is none.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

// The Status of `error` (an errno value): "<what>: <text of the error>". ENOENT is
// NotFound, EACCES and EPERM PermissionDenied, ENOMEM, ENOSPC, EMFILE and ENFILE
// ResourceExhausted, ECONNREFUSED, ECONNRESET, EPIPE, ENETUNREACH and EHOSTUNREACH
// Unavailable, ETIMEDOUT DeadlineExceeded, EINVAL InvalidArgument; the rest Internal.
absl::Status ErrnoStatus(int error, std::string_view what);

}  // namespace kvasir

#endif  // KVASIR_BASE_FD_H_
