#include "base/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <random>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/limits.h"

namespace kvasir {
namespace {

// XXH3 has other code for up to 16, 128 and 240 bytes, for its buffer of 256 and its
// stripes of 1024; CopyAndUpdate works in pieces of 64 KiB.
const std::vector<size_t> kSizes = {
    0, 1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 255, 256, 257, 512, 1023, 1024, 1025,
    4096, 64 * kKiB - 1, 64 * kKiB, 64 * kKiB + 1, 128 * kKiB, 200'003};

std::vector<std::byte> RandomBytes(size_t size_bytes, std::mt19937_64* random) {
  std::vector<std::byte> bytes(size_bytes);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>((*random)());
  return bytes;
}

TEST(ChecksumTest, PiecesGiveWhatTheWholeGives) {
  std::mt19937_64 random(1);
  Checksummer checksummer;  // One for all rounds, as a lane has it.
  for (const size_t size : kSizes) {
    const std::vector<std::byte> payload = RandomBytes(size, &random);
    for (int round = 0; round < 16; ++round) {
      const uint64_t seed = round % 4 == 0 ? 0 : random();
      const uint64_t piece_bytes_max = 1 + random() % (size / (1 + random() % 8) + 1);
      checksummer.Reset(seed);
      std::span<const std::byte> rest(payload);
      while (!rest.empty()) {
        const size_t piece = std::min<size_t>(rest.size(), random() % (piece_bytes_max + 1));
        checksummer.Update(rest.first(piece));
        rest = rest.subspan(piece);
      }
      EXPECT_EQ(checksummer.Finish(), BlockChecksum(seed, payload)) << size << " " << round;
    }
  }
}

TEST(ChecksumTest, FinishLeavesTheStateSoThatMoreMayFollow) {
  std::mt19937_64 random(2);
  const std::vector<std::byte> payload = RandomBytes(5000, &random);
  Checksummer checksummer;
  checksummer.Reset(7);
  checksummer.Update(std::span(payload).first(3000));
  EXPECT_EQ(checksummer.Finish(), BlockChecksum(7, std::span(payload).first(3000)));
  Checksummer moved = std::move(checksummer);
  moved.Update(std::span(payload).subspan(3000));
  EXPECT_EQ(moved.Finish(), BlockChecksum(7, payload));
}

TEST(ChecksumTest, ACopyIsTheSameBytesAndHashesAsTheyDo) {
  std::mt19937_64 random(3);
  Checksummer checksummer;
  for (const size_t size : kSizes) {
    const std::vector<std::byte> from = RandomBytes(size, &random);
    std::vector<std::byte> to(size + 1, std::byte{0x5a});
    const uint64_t seed = random();
    checksummer.Reset(seed);
    CopyAndUpdate(std::span(to).first(size), from, &checksummer);
    EXPECT_TRUE(std::equal(from.begin(), from.end(), to.begin())) << size;
    EXPECT_EQ(to.back(), std::byte{0x5a}) << size;
    EXPECT_EQ(checksummer.Finish(), BlockChecksum(seed, from)) << size;
  }
}

TEST(ChecksumTest, TheRightBytesUnderTheWrongKeyDoNotVerify) {
  EXPECT_EQ(ChecksumSeed("model/layer/7"), ChecksumSeed("model/layer/7"));
  EXPECT_NE(ChecksumSeed("model/layer/7"), ChecksumSeed("model/layer/8"));
  EXPECT_NE(ChecksumSeed("a"), ChecksumSeed(std::string_view("a\0", 2)));
  std::mt19937_64 random(4);
  for (const size_t size : kSizes) {
    const std::vector<std::byte> payload = RandomBytes(size, &random);
    EXPECT_NE(BlockChecksum(ChecksumSeed("key/1"), payload),
              BlockChecksum(ChecksumSeed("key/2"), payload))
        << size;
  }
}

TEST(ChecksumTest, OneFlippedBitChangesIt) {
  std::mt19937_64 random(5);
  for (const size_t size : kSizes) {
    std::vector<std::byte> payload = RandomBytes(size, &random);
    const uint64_t right = BlockChecksum(9, payload);
    for (int flip = 0; flip < 16 && size > 0; ++flip) {
      const size_t at = random() % size;
      const std::byte bit = std::byte{1} << static_cast<int>(random() % 8);
      payload[at] ^= bit;
      EXPECT_NE(BlockChecksum(9, payload), right) << size << " at " << at;
      payload[at] ^= bit;
    }
    EXPECT_EQ(BlockChecksum(9, payload), right);
  }
}

}  // namespace
}  // namespace kvasir
