#include "client/stripes.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/limits.h"

namespace kvasir {

std::vector<Stripe> CutStripes(std::span<const uint64_t> sizes_bytes, size_t stripes_max) {
  KV_CHECK(stripes_max > 0);
  const uint64_t total =
      std::accumulate(sizes_bytes.begin(), sizes_bytes.end(), uint64_t{0});
  const size_t wanted = static_cast<size_t>(
      std::clamp<uint64_t>(total / kStripeBytesMin, 1, stripes_max));
  std::vector<Stripe> stripes = {{.first = 0, .count = 0}};
  uint64_t before = 0;
  for (size_t i = 0; i < sizes_bytes.size(); ++i) {
    // The stripe that the item's middle lies in: cuts are as even as items allow.
    const uint64_t share = total / wanted;
    const bool beyond = before + sizes_bytes[i] / 2 >= stripes.size() * share;
    if (beyond && stripes.back().count > 0 && stripes.size() < wanted) {
      stripes.push_back({.first = i, .count = 0});
    }
    ++stripes.back().count;
    before += sizes_bytes[i];
  }
  return stripes;
}

}  // namespace kvasir
