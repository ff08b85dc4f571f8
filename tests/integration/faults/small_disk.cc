#include "tests/integration/faults/small_disk.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/check.h"
#include "base/fd.h"

namespace kvasir {

absl::StatusOr<std::unique_ptr<SmallDisk>> SmallDisk::Mount(const std::string& directory,
                                                            uint64_t size_bytes) {
  std::filesystem::create_directories(directory);
  // Private, or whoever made the namespace that this one is a copy of would see it too.
  if (unshare(CLONE_NEWNS) != 0 ||
      mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", directory.c_str(), "tmpfs", 0,
            fmt::format("size={}", size_bytes).c_str()) != 0) {
    return absl::PermissionDeniedError(
        fmt::format("mount: a tmpfs at {}: {}", directory, std::strerror(errno)));
  }
  std::unique_ptr<SmallDisk> disk(new SmallDisk(directory));
  if (absl::Status direct = disk->CheckDirectWrites(); !direct.ok()) return direct;
  return disk;
}

SmallDisk::~SmallDisk() { umount2(path_.c_str(), MNT_DETACH); }

absl::Status SmallDisk::CheckDirectWrites() const {
  const std::string name = path_ + "/direct";
  const UniqueFd file(
      open(name.c_str(), O_CREAT | O_WRONLY | O_DIRECT | O_CLOEXEC, 0600));
  const int error = errno;
  unlink(name.c_str());
  if (file.get() >= 0) return absl::OkStatus();
  return absl::UnimplementedError(
      fmt::format("open: a file with O_DIRECT at {}: {}", path_, std::strerror(error)));
}

void SmallDisk::Fill() {
  const UniqueFd file(
      open(ballast().c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
  KV_CHECK(file.get() >= 0);
  constexpr std::array<char, 4096> kPage{};
  while (write(file.get(), kPage.data(), kPage.size()) > 0) {
  }
  KV_CHECK(errno == ENOSPC);
}

void SmallDisk::Relieve() { KV_CHECK(unlink(ballast().c_str()) == 0); }

}  // namespace kvasir
