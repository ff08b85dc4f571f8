#ifndef KVASIR_TESTS_BENCH_ENGINE_KEY_H_
#define KVASIR_TESTS_BENCH_ENGINE_KEY_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace kvasir::bench {

inline constexpr size_t kEngineKeyBytes = 80;

// The like of an engine's key, another for each `i`: a model's name, a worker, a chunk's
// hash.
std::string EngineKey(uint64_t i);

}  // namespace kvasir::bench

#endif  // KVASIR_TESTS_BENCH_ENGINE_KEY_H_
