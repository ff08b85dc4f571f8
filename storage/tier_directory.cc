#include "storage/tier_directory.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "storage/disk_format.h"

namespace kvasir {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFormatName = "KVASIR_FORMAT";
constexpr std::string_view kLockName = "KVASIR_LOCK";
constexpr std::string_view kSetAsidePrefix = "set-aside-";
// A format file is one short line.
constexpr size_t kFormatBytesMax = 256;

absl::Status Failed(std::string_view what, const std::string& path,
                    const std::error_code& error) {
  return ErrnoStatus(error.value(), fmt::format("{} {}", what, path));
}

// Errors that tell of a wrong path and not of a disk that fails: waiting does not help.
bool IsWrongPath(const std::error_code& error) {
  constexpr std::errc kWrong[] = {
      std::errc::file_exists,       std::errc::filename_too_long,
      std::errc::not_a_directory,   std::errc::no_such_file_or_directory,
      std::errc::permission_denied, std::errc::operation_not_permitted};
  return std::ranges::any_of(kWrong, [&](std::errc wrong) { return error == wrong; });
}

// Names in the directory that mean that it is in use.
absl::StatusOr<std::vector<std::string>> Contents(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entries(path, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    // A fresh file system has the second; a tier that was set aside, the third.
    if (name == kLockName || name == "lost+found" || name.starts_with(kSetAsidePrefix)) {
      continue;
    }
    names.push_back(name);
  }
  if (error) return Failed("open tier: list", path, error);
  return names;
}

absl::StatusOr<UniqueFd> Lock(const std::string& path) {
  const std::string name = fmt::format("{}/{}", path, kLockName);
  // Not for writes: a disk that takes none may hold a tier that can be read.
  UniqueFd lock(::open(name.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return ErrnoStatus(errno, fmt::format("open tier: open {}", name));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) {
    return ErrnoStatus(errno, fmt::format("open tier: lock {}", name));
  }
  return absl::FailedPreconditionError(fmt::format(
      "open tier: another server holds the directory {} (its {} is locked)", path,
      kLockName));
}

absl::Status SyncAndClose(UniqueFd file, const std::string& name) {
  if (::fsync(file.get()) != 0) {
    return ErrnoStatus(errno, fmt::format("open tier: sync {}", name));
  }
  return absl::OkStatus();
}

// Written under another name first, so that there is never half a format file.
absl::Status WriteFormat(const std::string& path) {
  const std::string name = fmt::format("{}/{}", path, kFormatName);
  const std::string text = EncodeFormatFile(kDiskFormatVersion);
  const std::string fresh = name + ".new";
  UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid() || ::write(file.get(), text.data(), text.size()) !=
                           static_cast<ssize_t>(text.size())) {
    return ErrnoStatus(errno, fmt::format("open tier: write {}", fresh));
  }
  if (absl::Status synced = SyncAndClose(std::move(file), fresh); !synced.ok()) {
    return synced;
  }
  if (::rename(fresh.c_str(), name.c_str()) != 0) {
    return ErrnoStatus(errno, fmt::format("open tier: rename {}", fresh));
  }
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return SyncAndClose(std::move(directory), path);
}

absl::Status CheckFormat(const std::string& path) {
  const std::string name = fmt::format("{}/{}", path, kFormatName);
  UniqueFd file(::open(name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, fmt::format("open tier: open {}", name));
  std::string text(kFormatBytesMax, '\0');
  const ssize_t bytes = ::read(file.get(), text.data(), text.size());
  if (bytes < 0) return ErrnoStatus(errno, fmt::format("open tier: read {}", name));
  text.resize(static_cast<size_t>(bytes));
  const absl::StatusOr<uint32_t> version = DecodeFormatFile(text);
  if (!version.ok()) {
    return absl::DataLossError(fmt::format("open tier: {} is damaged: {}", name,
                                           ToStd(version.status().message())));
  }
  if (*version == kDiskFormatVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("open tier: {} has format {}, and this program knows {} only", path,
                  *version, kDiskFormatVersion));
}

// Makes the directory ours, or finds that it is.
absl::Status Claim(const std::string& path) {
  absl::StatusOr<std::vector<std::string>> names = Contents(path);
  if (!names.ok()) return names.status();
  bool ours = false;
  std::string foreign;
  for (const std::string& name : *names) {
    if (name == kFormatName) {
      ours = true;
    } else if (name != fmt::format("{}.new", kFormatName)) {
      foreign = name;
    }
  }
  if (ours) return CheckFormat(path);
  if (foreign.empty()) return WriteFormat(path);
  return absl::FailedPreconditionError(fmt::format(
      "open tier: {} is not empty (it has {}) and has no {}: is it another program's?",
      path, foreign, kFormatName));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TierDirectory>> TierDirectory::Open(
    const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (IsWrongPath(error)) {
    return absl::FailedPreconditionError(fmt::format(
        "open tier: {} cannot be made a directory: {}", path, error.message()));
  }
  if (error) return Failed("open tier: make", path, error);
  absl::StatusOr<UniqueFd> lock = Lock(path);
  if (!lock.ok()) return lock.status();
  if (absl::Status claimed = Claim(path); !claimed.ok()) return claimed;
  const std::string staging = path + "/staging";
  fs::create_directories(staging, error);
  if (error) return Failed("open tier: make", staging, error);
  // What a dead process was writing. Where a disk lets nothing go it stays for now.
  fs::directory_iterator left(staging, error);
  for (; !error && left != fs::directory_iterator(); left.increment(error)) {
    fs::remove_all(left->path(), error);
  }
  return std::unique_ptr<TierDirectory>(new TierDirectory(path, *std::move(lock)));
}

absl::StatusOr<std::string> TierDirectory::SetAside(const std::string& path) {
  absl::StatusOr<UniqueFd> lock = Lock(path);
  if (!lock.ok()) return lock.status();
  absl::StatusOr<std::vector<std::string>> names = Contents(path);
  if (!names.ok()) return names.status();
  std::string aside;
  std::error_code error;
  for (int i = 1; i <= kMaxTierSetAside && aside.empty(); ++i) {
    const std::string name = fmt::format("{}/{}{}", path, kSetAsidePrefix, i);
    if (fs::create_directory(name, error)) aside = name;
    if (error) return Failed("set tier aside: make", name, error);
  }
  if (aside.empty()) {
    return absl::ResourceExhaustedError(fmt::format(
        "set tier aside: {} has {} already; remove one", path, kMaxTierSetAside));
  }
  // The format file last: a stop half way leaves an empty tier, not a foreign directory.
  std::ranges::sort(*names, [](const std::string& a, const std::string& b) {
    return (a == kFormatName) < (b == kFormatName);
  });
  for (const std::string& name : *names) {
    fs::rename(path + "/" + name, aside + "/" + name, error);
    if (error) return Failed("set tier aside: move", name, error);
  }
  return aside;
}

}  // namespace kvasir
