#ifndef KVASIR_TESTS_SIMULATION_HISTORY_H_
#define KVASIR_TESTS_SIMULATION_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/durability.h"

namespace kvasir::sim {

// What a crash of the server may leave of one key: its blocks since the last that is
// known to be on disk, or to be gone, for good. Blocks are named by number, as the oracle
// counts its grants.
//
// A put is published first and acknowledged later. From then on nothing before it may come
// back, and if it is durable, it must itself. A removal is like a put of nothing.
class History {
 public:
  struct Block {
    size_t grant = 0;
    uint64_t version = 0;
    bool dropped = false;  // the disk has let it go, as it may
  };

  void OnPublished(const Block& block) {
    blocks_.push_back(block);
    durability_ = Durability::kNone;
  }
  // No effect if a removal was acknowledged since.
  void OnAcknowledged(size_t grant, Durability durability);
  // Nobody finds it any more, or may not, but that was not acknowledged.
  void OnRemoving() { OnPublished(kNothing); }
  void OnRemoved() {
    blocks_.clear();
    durability_ = Durability::kNone;
  }
  // To keep the disk's budget, or because it is damaged.
  void OnDropped(uint64_t version);

  // The block of this version, if a crash may leave it.
  std::optional<Block> Find(uint64_t version) const;
  // The block that must still be there; nothing if all may be gone.
  std::optional<Block> durable() const;
  // 0: a removal, or nothing.
  uint64_t newest() const { return blocks_.empty() ? 0 : blocks_.back().version; }
  // It is what there is, and on the disk; nothing: there is none.
  void Restart(const std::optional<Block>& left);

 private:
  static constexpr Block kNothing{.grant = SIZE_MAX, .version = 0, .dropped = true};

  std::vector<Block> blocks_;  // in the order of their commits
  Durability durability_ = Durability::kNone;  // that was acknowledged, of the last one
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_HISTORY_H_
