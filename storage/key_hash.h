#ifndef KVASIR_STORAGE_KEY_HASH_H_
#define KVASIR_STORAGE_KEY_HASH_H_

#include <xxhash.h>

#include <cstdint>
#include <string_view>

namespace kvasir {

// 64 well mixed bits of a key: XXH3-64, not seeded. Never stored or sent.
inline uint64_t HashKey(std::string_view key) {
  return XXH3_64bits(key.data(), key.size());
}

}  // namespace kvasir

#endif  // KVASIR_STORAGE_KEY_HASH_H_
