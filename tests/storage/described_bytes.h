#ifndef KVASIR_TESTS_STORAGE_DESCRIBED_BYTES_H_
#define KVASIR_TESTS_STORAGE_DESCRIBED_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/checksum.h"

namespace kvasir {

// Bytes that say what they are: every 8 of them follow from the key, the generation and
// their place, so that a reader can tell any other block's bytes, old or new.
class DescribedBytes {
 public:
  DescribedBytes(std::string_view key, uint64_t generation)
      : seed_(ChecksumSeed(key) ^ (generation * 0x9e3779b97f4a7c15)) {}

  void Fill(std::span<std::byte> bytes) const {
    for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
      const uint64_t word = WordAt(at);
      std::memcpy(bytes.data() + at, &word, Part(bytes.size() - at));
    }
  }

  bool Match(std::span<const std::byte> bytes) const {
    for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
      const uint64_t word = WordAt(at);
      if (std::memcmp(bytes.data() + at, &word, Part(bytes.size() - at)) != 0)
        return false;
    }
    return true;
  }

 private:
  static size_t Part(size_t left) {
    return left < sizeof(uint64_t) ? left : sizeof(uint64_t);
  }
  uint64_t WordAt(size_t at) const { return seed_ + at * 0xbf58476d1ce4e5b9; }

  const uint64_t seed_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_STORAGE_DESCRIBED_BYTES_H_
