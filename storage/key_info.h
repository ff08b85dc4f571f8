#ifndef KVASIR_STORAGE_KEY_INFO_H_
#define KVASIR_STORAGE_KEY_INFO_H_

#include <cstdint>
#include <string>

#include "storage/block.h"

namespace kvasir {

// What a store tells of one key.
struct KeyInfo {
  std::string key;
  uint64_t size_bytes = 0;
  uint64_t checksum = 0;
  std::string attributes;
  Residency residency = Residency::kAbsent;
  uint32_t references = 0;  // beyond the index's own
  uint64_t generation = 0;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_KEY_INFO_H_
