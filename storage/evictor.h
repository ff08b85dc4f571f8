#ifndef KVASIR_STORAGE_EVICTOR_H_
#define KVASIR_STORAGE_EVICTOR_H_

#include <cstdint>

#include "base/limits.h"
#include "storage/block_store.h"

namespace kvasir {

// Keeps free memory between two watermarks, ahead of demand, so that Reserve rarely has
// to evict by itself. Owns no thread: someone calls Step, one at a time.
class Evictor {
 public:
  struct Options {
    // Fractions of the arena allocated: start above the one, stop at the other. Reserve
    // keeps a 40th free by itself when sizes are mixed (storage/room_maker.h); this is
    // about the same, earlier.
    double high_watermark = 0.975;
    double low_watermark = 0.965;
    uint64_t step_bytes_max = 256 * kMiB;
  };
  // `store` is not owned and must outlive the evictor.
  Evictor(BlockStore* store, const Options& options);
  // Evicts at most step_bytes_max. Returns the bytes freed.
  uint64_t Step();

 private:
  BlockStore* const store_;
  const Options options_;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_EVICTOR_H_
