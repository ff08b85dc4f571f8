#ifndef KVASIR_STORAGE_COLD_BLOCK_H_
#define KVASIR_STORAGE_COLD_BLOCK_H_

#include <cstdint>
#include <string>

namespace kvasir {

// One of the next to be evicted, as it was when it was looked at.
struct ColdBlock {
  std::string key;
  uint64_t generation = 0;
  uint64_t size_bytes = 0;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_COLD_BLOCK_H_
