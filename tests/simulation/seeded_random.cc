#include "tests/simulation/seeded_random.h"

#include <cstddef>
#include <span>

#include "base/random.h"
#include "tests/simulation/dice.h"

namespace kvasir {
namespace sim {
namespace {

thread_local Dice dice(0);

}  // namespace

void SeedRandom(uint64_t seed) { dice = Dice(~seed); }

}  // namespace sim

// In the program itself, so that these come before the library's.
void SecureRandom(std::span<std::byte> out) {
  for (std::byte& byte : out) byte = static_cast<std::byte>(sim::dice.Next() >> 56);
}

uint64_t SecureRandom64() { return sim::dice.Next(); }

}  // namespace kvasir
