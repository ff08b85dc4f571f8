#include "client/cli/replay/pattern.h"

#include <algorithm>
#include <cstring>

namespace kvasir {
namespace {

constexpr size_t kWordBytes = sizeof(uint64_t);
// Words compared between two looks at the result: 4 KiB, so that the loop over them
// needs no branch and becomes vector code.
constexpr size_t kStrideWords = 512;
// 2^64 divided by the golden ratio, odd: successive words differ in many bits.
constexpr uint64_t kStep = 0x9E3779B97F4A7C15;

constexpr uint64_t WordAt(uint64_t seed, uint64_t k) {
  const uint64_t x = seed + k * kStep;
  return x ^ (x >> 29);
}

// Source: the finalizer of SplitMix64, Steele, Lea and Flood, OOPSLA 2014.
constexpr uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// The bits in which `count` words at `block` differ from the pattern, all in one.
uint64_t DifferenceAndSpoil(uint64_t seed, uint64_t first, std::byte* block,
                            size_t count) {
  uint64_t difference = 0;
  for (size_t i = 0; i < count; ++i) {
    uint64_t word;
    std::memcpy(&word, block + i * kWordBytes, kWordBytes);
    const uint64_t expected = WordAt(seed, first + i);
    difference |= word ^ expected;
    word = ~word;  // still tells which bytes were wrong
    std::memcpy(block + i * kWordBytes, &word, kWordBytes);
  }
  return difference;
}

// Offset in spoiled bytes, from word `first` on, of the first that was wrong.
size_t FirstWrong(uint64_t seed, uint64_t first, std::span<const std::byte> spoiled) {
  for (size_t offset = 0; offset < spoiled.size(); ++offset) {
    const uint64_t expected = WordAt(seed, first + offset / kWordBytes);
    std::byte bytes[kWordBytes];
    std::memcpy(bytes, &expected, kWordBytes);
    if (~spoiled[offset] != bytes[offset % kWordBytes]) return offset;
  }
  return spoiled.size();
}

}  // namespace

uint64_t BlockPattern::SeedOf(uint64_t id, uint64_t size_bytes) const {
  return Mix(Mix(Mix(salt_ + kStep) + id) + size_bytes);
}

void BlockPattern::Fill(uint64_t id, std::span<std::byte> block) const {
  const uint64_t seed = SeedOf(id, block.size());
  const size_t words = block.size() / kWordBytes;
  for (size_t i = 0; i < words; ++i) {
    const uint64_t word = WordAt(seed, i);
    std::memcpy(block.data() + i * kWordBytes, &word, kWordBytes);
  }
  const uint64_t last = WordAt(seed, words);
  const size_t done = words * kWordBytes;
  std::memcpy(block.data() + done, &last, block.size() - done);
}

std::optional<size_t> BlockPattern::VerifyAndSpoil(uint64_t id,
                                                   std::span<std::byte> block) const {
  const uint64_t seed = SeedOf(id, block.size());
  const size_t words = block.size() / kWordBytes;
  std::optional<size_t> wrong;
  for (size_t first = 0; first < words; first += kStrideWords) {
    const size_t count = std::min(kStrideWords, words - first);
    std::byte* const at = block.data() + first * kWordBytes;
    if (DifferenceAndSpoil(seed, first, at, count) == 0 || wrong.has_value()) continue;
    wrong = first * kWordBytes + FirstWrong(seed, first, {at, count * kWordBytes});
  }
  const size_t done = words * kWordBytes;
  const std::span<std::byte> tail = block.subspan(done);
  for (std::byte& byte : tail) byte = ~byte;
  if (wrong.has_value()) return wrong;
  const size_t offset = done + FirstWrong(seed, words, tail);
  if (offset < block.size()) return offset;
  return std::nullopt;
}

}  // namespace kvasir
