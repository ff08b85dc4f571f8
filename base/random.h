#ifndef KVASIR_BASE_RANDOM_H_
#define KVASIR_BASE_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace kvasir {

// Fills `out` from the kernel's generator: for ids, nonces and MAC keys. Never fails:
// a kernel without getrandom ends the process. Thread-safe.
void SecureRandom(std::span<std::byte> out);
uint64_t SecureRandom64();

}  // namespace kvasir

#endif  // KVASIR_BASE_RANDOM_H_
