#ifndef KVASIR_RDMA_LITTLE_ENDIAN_H_
#define KVASIR_RDMA_LITTLE_ENDIAN_H_

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace kvasir {

// Unsigned integers as little-endian bytes at any alignment. Compilers make one move of
// each on x86.
template <std::unsigned_integral T>
void StoreLittleEndian(std::byte* to, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) to[i] = static_cast<std::byte>(value >> (8 * i));
}

template <std::unsigned_integral T>
T LoadLittleEndian(const std::byte* from) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<uint64_t>(from[i]) << (8 * i);
  }
  return static_cast<T>(value);
}

}  // namespace kvasir

#endif  // KVASIR_RDMA_LITTLE_ENDIAN_H_
