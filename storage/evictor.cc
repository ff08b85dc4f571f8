#include "storage/evictor.h"

#include <algorithm>

#include "base/check.h"

namespace kvasir {

Evictor::Evictor(BlockStore* store, const Options& options)
    : store_(store), options_(options) {
  KV_CHECK(0 <= options.low_watermark &&
           options.low_watermark <= options.high_watermark &&
           options.high_watermark <= 1);
}

uint64_t Evictor::Step() {
  const Arena::Usage usage = store_->arena()->usage();
  const auto capacity = static_cast<double>(usage.capacity_bytes);
  const auto allocated = static_cast<double>(usage.allocated_bytes);
  if (allocated <= options_.high_watermark * capacity) return 0;
  const auto surplus =
      static_cast<uint64_t>(allocated - options_.low_watermark * capacity);
  return store_->Evict(std::min(surplus, options_.step_bytes_max));
}

}  // namespace kvasir
