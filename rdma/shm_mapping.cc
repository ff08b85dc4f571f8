#include "rdma/shm_mapping.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/bytes.h"

namespace kvasir {
namespace {

absl::Status CheckSealed(int memfd, uint64_t size_bytes) {
  const int seals = fcntl(memfd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return absl::FailedPreconditionError(
        "shm: the memory is not sealed against shrinking");
  }
  struct stat found {};
  if (fstat(memfd, &found) != 0)
    return ErrnoStatus(errno, "shm: ask for the memory's size");
  if (size_bytes == 0 || static_cast<uint64_t>(found.st_size) < size_bytes) {
    return absl::FailedPreconditionError(
        fmt::format("shm: {} of memory announced, {} there", FormatSize(size_bytes),
                    FormatSize(static_cast<uint64_t>(found.st_size))));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ShmMapping> ShmMapping::Map(int memfd, const Options& options) {
  if (absl::Status sealed = CheckSealed(memfd, options.size_bytes); !sealed.ok()) {
    return sealed;
  }
  const int protection =
      options.mode == Mode::kReadWrite ? PROT_READ | PROT_WRITE : PROT_READ;
  void* const address =
      mmap(nullptr, options.size_bytes, protection, MAP_SHARED, memfd, 0);
  if (address == MAP_FAILED) {
    return ErrnoStatus(errno, fmt::format("shm: map {}", FormatSize(options.size_bytes)));
  }
  madvise(address, options.size_bytes, MADV_DONTDUMP);  // Best effort.
  return ShmMapping({static_cast<std::byte*>(address), options.size_bytes});
}

ShmMapping::ShmMapping(ShmMapping&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})) {}

ShmMapping& ShmMapping::operator=(ShmMapping&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

ShmMapping::~ShmMapping() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

absl::StatusOr<UniqueFd> CreateShmRing(uint64_t size_bytes) {
  UniqueFd memfd(memfd_create("kvasir-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memfd.valid()) return ErrnoStatus(errno, "shm: create the ring");
  if (ftruncate(memfd.get(), static_cast<off_t>(size_bytes)) != 0 ||
      fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return ErrnoStatus(errno,
                       fmt::format("shm: size the ring to {}", FormatSize(size_bytes)));
  }
  return memfd;
}

}  // namespace kvasir
