#ifndef KVASIR_TESTS_SIMULATION_SEEDED_RANDOM_H_
#define KVASIR_TESTS_SIMULATION_SEEDED_RANDOM_H_

#include <cstdint>

namespace kvasir::sim {

// Programs that link this have base/random.h answered from a seed instead of by the
// kernel, so that session ids and MAC keys replay too.
void SeedRandom(uint64_t seed);

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_SEEDED_RANDOM_H_
