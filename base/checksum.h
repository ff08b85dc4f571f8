#ifndef KVASIR_BASE_CHECKSUM_H_
#define KVASIR_BASE_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace kvasir {

// The checksum of a block: XXH3-64 of its payload with a seed made from its key,
// so that the right bytes under the wrong key do not verify.
// Source: XXH3, https://xxhash.com, library libxxhash 0.8 (runtime choice of AVX2,
// AVX-512 or SSE2).
uint64_t ChecksumSeed(std::string_view key);
uint64_t BlockChecksum(uint64_t seed, std::span<const std::byte> payload);

// The same over pieces, in order. Not thread-safe; reusable after Reset. The hash
// state is 576 bytes and wants alignment 64, so keep one a lane, not one a block.
class Checksummer {
 public:
  Checksummer();
  ~Checksummer();
  Checksummer(Checksummer&&) noexcept;
  Checksummer& operator=(Checksummer&&) noexcept;

  void Reset(uint64_t seed);
  void Update(std::span<const std::byte> piece);
  uint64_t Finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// memcpy and Checksummer::Update in one pass through the cache: copies `from` to
// `to` in pieces that fit in L1/L2 and hashes each while it is there.
// REQUIRES: equal sizes, no overlap.
void CopyAndUpdate(std::span<std::byte> to, std::span<const std::byte> from,
                   Checksummer* checksummer);

}  // namespace kvasir

#endif  // KVASIR_BASE_CHECKSUM_H_
