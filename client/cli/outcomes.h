#ifndef KVASIR_CLIENT_CLI_OUTCOMES_H_
#define KVASIR_CLIENT_CLI_OUTCOMES_H_

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/limits.h"
#include "client/cli/exit_code.h"
#include "kvasir/v1/common.pb.h"

// Words for what AdminService answers about keys.
namespace kvasir {

// "memory", "both", "disk", "reserved" or "absent".
std::string ResidencyText(v1::Residency residency);
// Whether a get would find it.
bool IsStored(v1::Residency residency);

// What a batch of outcomes comes to.
struct OutcomeSummary {
  size_t done = 0;
  std::vector<std::string> missing;  // as text
  std::vector<std::string> remarks;  // one for each key that is not done
  ExitCode exit_code = ExitCode::kOk;
};
// REQUIRES: outcomes aligned with the keys.
OutcomeSummary Summarize(std::span<const std::string> keys,
                         std::span<const v1::KeyOutcome> outcomes);

// Sends `keys` in requests of at most kMaxKeysPerCall, each a copy of `base` with its
// keys added, and gathers the outcomes in the order of the keys.
template <typename Request, typename Call>
absl::StatusOr<std::vector<v1::KeyOutcome>> ForEachBatch(
    std::span<const std::string> keys, Call call, const Request& base = Request()) {
  std::vector<v1::KeyOutcome> outcomes;
  for (size_t first = 0; first < keys.size(); first += kMaxKeysPerCall) {
    const auto part = keys.subspan(first, std::min(kMaxKeysPerCall, keys.size() - first));
    Request request = base;
    for (const std::string& key : part) request.add_keys()->set_key(key);
    const auto response = call(request);
    if (!response.ok()) return response.status();
    if (static_cast<size_t>(response->outcomes_size()) != part.size()) {
      return absl::InternalError(
          fmt::format("{} outcomes for {} keys", response->outcomes_size(), part.size()));
    }
    for (const int outcome : response->outcomes()) {
      outcomes.push_back(static_cast<v1::KeyOutcome>(outcome));
    }
  }
  return outcomes;
}

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_OUTCOMES_H_
