#include "base/malloc_tuning.h"

#include <malloc.h>

#include "base/check.h"
#include "base/limits.h"

namespace kvasir {
namespace {

constexpr int kMmapThresholdBytes = 32 * kMiB;
constexpr int kKeptBytes = 1 * kGiB;
constexpr int kGrowthBytes = 64 * kMiB;

}  // namespace

void KeepFreedMemory() {
  KV_CHECK(::mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes) == 1);
  KV_CHECK(::mallopt(M_TRIM_THRESHOLD, kKeptBytes) == 1);
  KV_CHECK(::mallopt(M_TOP_PAD, kGrowthBytes) == 1);
}

}  // namespace kvasir
