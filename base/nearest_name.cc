#include "base/nearest_name.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"

namespace kvasir {
namespace {

std::string Normalised(std::string_view text) {
  std::string normal;
  for (const char c : text) {
    normal.push_back(c == '-' ? '_' : static_cast<char>(std::tolower(c)));
  }
  return normal;
}

// Optimal string alignment distance, three rows of the matrix at a time.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> two_up(b.size() + 1), up(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(two_up, up);
    std::swap(up, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = up[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({up[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped =
          i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], two_up[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view NearestName(std::string_view text, std::span<const std::string_view> names) {
  KV_CHECK(!names.empty());
  // What no setting is as long as need not be compared in full: the work stays bounded.
  constexpr size_t kComparedBytesMax = 64;
  const std::string wanted = Normalised(text.substr(0, kComparedBytesMax));
  const auto nearer = [&wanted](std::string_view a, std::string_view b) {
    return Distance(wanted, Normalised(a)) < Distance(wanted, Normalised(b));
  };
  return *std::min_element(names.begin(), names.end(), nearer);
}

}  // namespace kvasir
