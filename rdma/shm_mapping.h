#ifndef KVASIR_RDMA_SHM_MAPPING_H_
#define KVASIR_RDMA_SHM_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace kvasir {

// One shared mapping of a memfd, left out of core dumps. Move-only; unmaps on death.
class ShmMapping {
 public:
  enum class Mode : uint8_t { kReadOnly, kReadWrite };
  struct Options {
    uint64_t size_bytes = 0;
    Mode mode = Mode::kReadOnly;
  };

  // FailedPrecondition unless `memfd` is sealed against shrinking and has at least
  // `size_bytes`: a peer that could cut the file short could kill this process (SIGBUS).
  static absl::StatusOr<ShmMapping> Map(int memfd, const Options& options);

  ShmMapping() = default;
  ShmMapping(ShmMapping&& other) noexcept;
  ShmMapping& operator=(ShmMapping&& other) noexcept;
  ~ShmMapping();

  std::span<const std::byte> bytes() const { return bytes_; }
  // REQUIRES: mapped with kReadWrite.
  std::span<std::byte> writable_bytes() const { return bytes_; }

 private:
  explicit ShmMapping(std::span<std::byte> bytes) : bytes_(bytes) {}
  std::span<std::byte> bytes_;
};

// A new memfd of `size_bytes` for a lane's puts, sealed against shrinking and growing.
// Its pages cost memory only once they are written.
absl::StatusOr<UniqueFd> CreateShmRing(uint64_t size_bytes);

}  // namespace kvasir

#endif  // KVASIR_RDMA_SHM_MAPPING_H_
