#include "base/checksum.h"

// For the size of the hash state, so that it can live in place.
#define XXH_STATIC_LINKING_ONLY
#include <xxh_x86dispatch.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/limits.h"

namespace kvasir {
namespace {

// Half of a common L2 is plenty and leaves room for the source lines.
constexpr size_t kCopyPieceBytes = 64 * kKiB;

}  // namespace

struct Checksummer::State {
  XXH3_state_t xxh3;
};

uint64_t ChecksumSeed(std::string_view key) { return XXH3_64bits(key.data(), key.size()); }

uint64_t BlockChecksum(uint64_t seed, std::span<const std::byte> payload) {
  return XXH3_64bits_withSeed(payload.data(), payload.size(), seed);
}

Checksummer::Checksummer() : state_(std::make_unique<State>()) { Reset(0); }
Checksummer::~Checksummer() = default;
Checksummer::Checksummer(Checksummer&&) noexcept = default;
Checksummer& Checksummer::operator=(Checksummer&&) noexcept = default;

void Checksummer::Reset(uint64_t seed) { XXH3_64bits_reset_withSeed(&state_->xxh3, seed); }

void Checksummer::Update(std::span<const std::byte> piece) {
  XXH3_64bits_update(&state_->xxh3, piece.data(), piece.size());
}

uint64_t Checksummer::Finish() const { return XXH3_64bits_digest(&state_->xxh3); }

void CopyAndUpdate(std::span<std::byte> to, std::span<const std::byte> from,
                   Checksummer* checksummer) {
  KV_CHECK(to.size() == from.size());
  for (size_t done = 0; done < from.size(); done += kCopyPieceBytes) {
    const size_t piece = std::min(kCopyPieceBytes, from.size() - done);
    std::memcpy(to.data() + done, from.data() + done, piece);
    checksummer->Update(to.subspan(done, piece));
  }
}

}  // namespace kvasir
