#include "tests/bench/engine_key.h"

#include <fmt/core.h>

namespace kvasir::bench {
namespace {

constexpr size_t kPrefixes = 1000;

}  // namespace

std::string EngineKey(uint64_t i) {
  const uint64_t high = i * 0x9e3779b97f4a7c15, low = (i + 1) * 0xbf58476d1ce4e5b9;
  std::string key =
      fmt::format("llama-3-8b@{:04}@bfloat16@{:016x}{:016x}", i % kPrefixes, high, low);
  key.resize(kEngineKeyBytes, '.');
  return key;
}

}  // namespace kvasir::bench
