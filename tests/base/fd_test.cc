#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

namespace kvasir {
namespace {

int OpenNull() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool IsOpen(int fd) { return fcntl(fd, F_GETFD) != -1; }

TEST(ErrnoStatusTest, EveryErrorHasTheCodeThatTheHeaderTells) {
  using Code = absl::StatusCode;
  const std::vector<std::pair<int, Code>> cases = {
      {ENOENT, Code::kNotFound},           {EACCES, Code::kPermissionDenied},
      {EPERM, Code::kPermissionDenied},    {ENOMEM, Code::kResourceExhausted},
      {ENOSPC, Code::kResourceExhausted},  {EMFILE, Code::kResourceExhausted},
      {ENFILE, Code::kResourceExhausted},  {ECONNREFUSED, Code::kUnavailable},
      {ECONNRESET, Code::kUnavailable},    {EPIPE, Code::kUnavailable},
      {ENETUNREACH, Code::kUnavailable},   {EHOSTUNREACH, Code::kUnavailable},
      {ETIMEDOUT, Code::kDeadlineExceeded}, {EINVAL, Code::kInvalidArgument},
      {EIO, Code::kInternal},              {EBADF, Code::kInternal},
  };
  for (const auto& [error, code] : cases) {
    EXPECT_EQ(ErrnoStatus(error, "open file").code(), code) << error;
  }
}

TEST(ErrnoStatusTest, TheMessageTellsWhatFailedAndWhy) {
  EXPECT_EQ(std::string(ErrnoStatus(ENOENT, "open /x {}").message()),
            "open /x {}: No such file or directory");
}

TEST(UniqueFdTest, ClosesWhatItOwns) {
  const int fd = OpenNull();
  ASSERT_TRUE(IsOpen(fd));
  {
    const UniqueFd owner(fd);
    EXPECT_TRUE(owner.valid());
    EXPECT_EQ(owner.get(), fd);
  }
  EXPECT_FALSE(IsOpen(fd));
  EXPECT_FALSE(UniqueFd().valid());
}

TEST(UniqueFdTest, AMoveHandsOverAndClosesOnlyWhatWasThere) {
  const int first = OpenNull();
  const int second = OpenNull();
  UniqueFd a(first);
  UniqueFd b(second);
  b = std::move(a);
  EXPECT_FALSE(a.valid());
  EXPECT_EQ(b.get(), first);
  EXPECT_TRUE(IsOpen(first));
  EXPECT_FALSE(IsOpen(second));
  const UniqueFd c(std::move(b));
  EXPECT_FALSE(b.valid());
  EXPECT_TRUE(IsOpen(c.get()));
}

TEST(UniqueFdTest, AMoveToItselfChangesNothing) {
  UniqueFd owner(OpenNull());
  UniqueFd& same = owner;
  owner = std::move(same);
  EXPECT_TRUE(owner.valid());
  EXPECT_TRUE(IsOpen(owner.get()));
}

TEST(UniqueFdTest, ResetClosesAndReleaseDoesNot) {
  const int first = OpenNull();
  const int second = OpenNull();
  UniqueFd owner(first);
  owner.reset(second);
  EXPECT_FALSE(IsOpen(first));
  EXPECT_EQ(owner.release(), second);
  EXPECT_FALSE(owner.valid());
  EXPECT_TRUE(IsOpen(second));
  owner.reset(second);
  owner.reset();
  EXPECT_FALSE(IsOpen(second));
}

}  // namespace
}  // namespace kvasir
