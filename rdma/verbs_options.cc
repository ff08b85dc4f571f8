#include "rdma/verbs_options.h"

#include <fmt/core.h>

#include <algorithm>

#include "rdma/verbs_wire.h"

namespace kvasir {

absl::StatusOr<std::vector<std::string>> ParseVerbsDevices(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty() || !names.empty()) {
    const size_t comma = text.find(',');
    const std::string name(text.substr(0, comma));
    const bool twice = std::find(names.begin(), names.end(), name) != names.end();
    if (name.empty() || twice || names.size() == kVerbsRailsMax) {
      return absl::InvalidArgumentError(
          fmt::format("\"{}\" is not a list of 1 to {} different devices, such as "
                      "mlx5_0 or mlx5_0,mlx5_1",
                      text, kVerbsRailsMax));
    }
    names.push_back(name);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return names;
}

}  // namespace kvasir
