#ifndef KVASIR_CLIENT_CLI_REPLAY_PATTERN_H_
#define KVASIR_CLIENT_CLI_REPLAY_PATTERN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

// Bytes that tell which block they belong to: a pure function of (salt, id, size,
// offset), made and compared 8 bytes at a time at the speed of memory.
//
// Word k of a block is x ^ (x >> 29) with x = seed + k * odd constant, so within a block
// no two words are equal, and a word of one block stands in another, or at another
// offset, only by chance (2^-64 a word). Nothing of it is shared with the checksum that
// Kvasir itself uses.
namespace kvasir {

class BlockPattern {
 public:
  // Patterns of different salts have nothing in common.
  explicit BlockPattern(uint64_t salt) : salt_(salt) {}

  void Fill(uint64_t id, std::span<std::byte> block) const;

  // Compares every byte of `block` with what Fill writes, and returns the offset of the
  // first that differs. Leaves the complement behind, in every byte: a later get that
  // claims a hit without writing finds no old right bytes to pass with.
  std::optional<size_t> VerifyAndSpoil(uint64_t id, std::span<std::byte> block) const;

 private:
  uint64_t SeedOf(uint64_t id, uint64_t size_bytes) const;

  const uint64_t salt_;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_REPLAY_PATTERN_H_
