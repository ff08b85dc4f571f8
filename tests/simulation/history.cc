#include "tests/simulation/history.h"

#include <algorithm>

namespace kvasir::sim {

void History::OnAcknowledged(size_t grant, Durability durability) {
  const auto it = std::find_if(blocks_.begin(), blocks_.end(), [grant](const Block& block) {
    return block.grant == grant;
  });
  if (it == blocks_.end()) return;
  blocks_.erase(blocks_.begin(), it);
  if (blocks_.size() > 1 || blocks_.front().dropped) return;
  durability_ = std::max(durability_, durability);
}

void History::OnDropped(uint64_t version) {
  for (Block& block : blocks_) {
    if (block.version == version) block.dropped = true;
  }
  if (!blocks_.empty() && blocks_.back().dropped) durability_ = Durability::kNone;
}

std::optional<History::Block> History::Find(uint64_t version) const {
  const auto it =
      std::find_if(blocks_.rbegin(), blocks_.rend(),
                   [version](const Block& block) { return block.version == version; });
  return it == blocks_.rend() ? std::nullopt : std::optional(*it);
}

std::optional<History::Block> History::durable() const {
  if (durability_ == Durability::kNone) return std::nullopt;
  return blocks_.back();
}

void History::Restart(const std::optional<Block>& left) {
  OnRemoved();
  if (!left.has_value()) return;
  blocks_.push_back(*left);
  durability_ = Durability::kPower;
}

}  // namespace kvasir::sim
