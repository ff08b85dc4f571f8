#ifndef KVASIR_CLIENT_PLACEMENT_H_
#define KVASIR_CLIENT_PLACEMENT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace kvasir {

// Which node holds a key: a pure function of the nodes' names and weights, the same in
// every process, host and language. A node that joins or leaves moves only the keys that
// are, or become, its own. Immutable; thread-safe.
//
// Each node draws a number for the key, u = (h + 0.5) / 2^53 with h the upper 53 bits of
// XXH3-64(key, seed = XXH3-64(name)), and the largest -weight / ln(u) wins; the earlier
// name, in byte order, wins a tie.
// Source: Thaler and Ravishankar 1998 (highest random weight), with the weights of
// Schindelhauer and Schomaker 2005.
class Placement {
 public:
  struct Node {
    std::string name;
    double weight = 1.0;
  };

  // InvalidArgument if there is no node, a name is empty or stands twice, or a weight is
  // not a positive number.
  static absl::StatusOr<Placement> Make(std::span<const Node> nodes);

  // Index into the nodes given to Make.
  size_t NodeFor(std::string_view key) const;
  size_t nodes() const { return nodes_.size(); }

 private:
  struct Seeded {
    std::string name;
    double weight = 1.0;
    uint64_t seed = 0;
  };
  explicit Placement(std::vector<Seeded> nodes) : nodes_(std::move(nodes)) {}

  std::vector<Seeded> nodes_;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_PLACEMENT_H_
