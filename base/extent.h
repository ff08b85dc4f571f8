#ifndef KVASIR_BASE_EXTENT_H_
#define KVASIR_BASE_EXTENT_H_

#include <cstdint>

namespace kvasir {

enum class RegionId : uint32_t {};

// A contiguous run of bytes inside one region. Plain value; owns nothing.
struct Extent {
  RegionId region{};
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;

  friend bool operator==(const Extent&, const Extent&) = default;
};

}  // namespace kvasir

#endif  // KVASIR_BASE_EXTENT_H_
