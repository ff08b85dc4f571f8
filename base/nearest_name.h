#ifndef KVASIR_BASE_NEAREST_NAME_H_
#define KVASIR_BASE_NEAREST_NAME_H_

#include <span>
#include <string_view>

namespace kvasir {

// The name with the fewest insertions, deletions, replacements and swaps of neighbours
// away from `text`, ignoring case and taking '-' for '_'; the first of several. For "did
// you mean". REQUIRES: `names` is not empty.
std::string_view NearestName(std::string_view text,
                             std::span<const std::string_view> names);

}  // namespace kvasir

#endif  // KVASIR_BASE_NEAREST_NAME_H_
