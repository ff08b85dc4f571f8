#ifndef KVASIR_STORAGE_DEMOTER_H_
#define KVASIR_STORAGE_DEMOTER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/block_store.h"
#include "storage/cold_block.h"
#include "storage/tier_health.h"
#include "storage/tier_mask.h"
#include "storage/tier_writer.h"

namespace kvasir {

// Keeps the cold end of memory stored in the tier, ahead of demand, and memory free
// between two watermarks by evicting what is stored: that costs nothing. Reserve under
// pressure passes over a few blocks that are not, and then takes them as they come; ahead
// of that, nothing that the tier could still take is dropped. Where the tier takes
// nothing, it evicts the coldest.
//
// Threads: Step and SaveStep from one thread at a time.
class Demoter {
 public:
  struct Options {
    // Fractions of the arena allocated. Storing begins early, since the disk is slower
    // than puts can be.
    double save_watermark = 0.5;
    // Reserve keeps a 40th free by itself when sizes are mixed (storage/room_maker.h);
    // this is about the same, earlier.
    double high_watermark = 0.975;
    double low_watermark = 0.965;
  };
  // None owned; all must outlive the demoter.
  Demoter(const Options& options, BlockStore* memory, TierMask* mask, TierHealth* health,
          TierWriter* writer);

  // Looks at the kDemotionScanBlocks coldest blocks.
  void Step();

  // For the end of a node: hands blocks that are not stored to the writer, from the start
  // of the keys or where the last call stopped, until its queue is full. True once it has
  // been through all keys.
  bool SaveStep();

 private:
  bool IsStored(std::string_view key, uint64_t generation) const;
  // The tier does not have it and would take it.
  bool IsUnsaved(const ColdBlock& block) const;

  const Options options_;
  BlockStore* const memory_;
  TierMask* const mask_;
  TierHealth* const health_;
  TierWriter* const writer_;
  std::string saved_up_to_;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_DEMOTER_H_
