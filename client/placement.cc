#include "client/placement.h"

#include <fmt/core.h>

#include <cmath>
#include <set>

#include "base/bytes.h"
#include "base/checksum.h"

namespace kvasir {
namespace {

double Score(std::string_view key, uint64_t seed, double weight) {
  // BlockChecksum is XXH3-64 with a seed, which is all that is wanted here.
  const uint64_t hash = BlockChecksum(seed, AsBytes(key));
  const double u = (static_cast<double>(hash >> 11) + 0.5) * 0x1p-53;
  return -weight / std::log(u);
}

}  // namespace

absl::StatusOr<Placement> Placement::Make(std::span<const Node> nodes) {
  if (nodes.empty()) return absl::InvalidArgumentError("place keys: no nodes");
  std::set<std::string_view> names;
  std::vector<Seeded> seeded;
  for (const Node& node : nodes) {
    if (node.name.empty()) return absl::InvalidArgumentError("place keys: a node has no name");
    if (!names.insert(node.name).second) {
      return absl::InvalidArgumentError(
          fmt::format("place keys: two nodes are named {}", node.name));
    }
    if (!(node.weight > 0) || !std::isfinite(node.weight)) {
      return absl::InvalidArgumentError(
          fmt::format("place keys: node {} has weight {}", node.name, node.weight));
    }
    seeded.push_back({node.name, node.weight, ChecksumSeed(node.name)});
  }
  return Placement(std::move(seeded));
}

size_t Placement::NodeFor(std::string_view key) const {
  if (nodes_.size() == 1) return 0;
  size_t best = 0;
  double best_score = -1;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const double score = Score(key, nodes_[i].seed, nodes_[i].weight);
    if (score > best_score || (score == best_score && nodes_[i].name < nodes_[best].name)) {
      best = i;
      best_score = score;
    }
  }
  return best;
}

}  // namespace kvasir
