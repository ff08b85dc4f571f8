#ifndef KVASIR_TESTS_SIMULATION_DICE_H_
#define KVASIR_TESTS_SIMULATION_DICE_H_

#include <chrono>
#include <cstdint>

#include "base/check.h"
#include "base/clock.h"

namespace kvasir::sim {

// All chance in a simulation comes from one of these, so that a seed replays.
// Source: SplitMix64, Steele, Lea and Flood, OOPSLA 2014.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // In [low, high].
  uint64_t Between(uint64_t low, uint64_t high) {
    KV_CHECK(low <= high);
    return low + Next() % (high - low + 1);
  }
  BootClock::duration Between(BootClock::duration low, BootClock::duration high) {
    return BootClock::duration(
        Between(static_cast<uint64_t>(low.count()), static_cast<uint64_t>(high.count())));
  }
  // True `per_million` times in a million.
  bool Chance(uint64_t per_million) { return Next() % 1'000'000 < per_million; }

 private:
  uint64_t state_;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_DICE_H_
