#ifndef KVASIR_STORAGE_ROCKS_TIER_RECOVERY_H_
#define KVASIR_STORAGE_ROCKS_TIER_RECOVERY_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "storage/rocks_tier_state.h"

namespace kvasir {

// Keys that the catalogue has so far, of those on disk. Called from one thread at a time.
using TierProgress = std::function<void(uint64_t keys, uint64_t keys_total)>;

// Rebuilds the catalogue and the books from tombstones and listings, without reading
// payload. Marks of segments that are not there tell how many durable blocks that were
// acknowledged are lost, and keep older blocks from taking their place. DataLoss
// if both copies of a listing are damaged: without it, older blocks could take the place
// of those that it named. Unavailable if the disk does not answer.
//
// Bounds: beside the catalogue, a chunk of a listing a thread, 16 B a lost block, and about
//         20 B a block that was promised later than stored.
absl::Status RecoverRocksTier(RocksTierState* state, const TierProgress& progress);

}  // namespace kvasir

#endif  // KVASIR_STORAGE_ROCKS_TIER_RECOVERY_H_
