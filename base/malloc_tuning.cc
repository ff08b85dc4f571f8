#include "base/malloc_tuning.h"

#include <malloc.h>

#include "base/limits.h"

namespace kvasir {
namespace {

constexpr int kMmapThresholdBytes = 32 * kMiB;
constexpr int kKeptBytes = 1 * kGiB;
constexpr int kGrowthBytes = 64 * kMiB;

}  // namespace

void KeepFreedMemory() {
  // Refused where a sanitizer's malloc has taken glibc's place: nothing to tune there.
  (void)::mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);
  (void)::mallopt(M_TRIM_THRESHOLD, kKeptBytes);
  (void)::mallopt(M_TOP_PAD, kGrowthBytes);
}

}  // namespace kvasir
