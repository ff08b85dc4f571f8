#ifndef KVASIR_BASE_BLOCK_INFO_H_
#define KVASIR_BASE_BLOCK_INFO_H_

#include <cstdint>
#include <string>

namespace kvasir {

// What travels with a block's bytes. Immutable after Commit.
struct BlockInfo {
  uint64_t size_bytes = 0;
  uint64_t checksum = 0;   // BlockChecksum of the payload (base/checksum.h)
  std::string attributes;  // opaque to Kvasir; at most kMaxAttributesBytes
};

}  // namespace kvasir

#endif  // KVASIR_BASE_BLOCK_INFO_H_
