#include "client/cli/outcomes.h"

#include "base/bytes.h"
#include "base/check.h"
#include "client/cli/arguments.h"

namespace kvasir {
namespace {

std::string OutcomeText(v1::KeyOutcome outcome) {
  switch (outcome) {
    case v1::KEY_OUTCOME_REFUSED:
      return "refused: no room that may be taken, or the disk does not take it";
    case v1::KEY_OUTCOME_INVALID:
      return "refused: it breaks a limit";
    case v1::KEY_OUTCOME_IN_PROGRESS:
      return "being written by another client";
    case v1::KEY_OUTCOME_PENDING:
      return "out of sight, but the disk has not confirmed it yet";
    default:
      return fmt::format("failed with outcome {}", static_cast<int>(outcome));
  }
}

}  // namespace

std::string ResidencyText(v1::Residency residency) {
  switch (residency) {
    case v1::RESIDENCY_RESERVED:
      return "reserved";
    case v1::RESIDENCY_MEMORY:
      return "memory";
    case v1::RESIDENCY_BOTH:
      return "both";
    case v1::RESIDENCY_DISK:
      return "disk";
    default:
      return "absent";
  }
}

bool IsStored(v1::Residency residency) {
  return residency == v1::RESIDENCY_MEMORY || residency == v1::RESIDENCY_BOTH ||
         residency == v1::RESIDENCY_DISK;
}

OutcomeSummary Summarize(std::span<const std::string> keys,
                         std::span<const v1::KeyOutcome> outcomes) {
  KV_CHECK(keys.size() == outcomes.size());
  OutcomeSummary summary;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (outcomes[i] == v1::KEY_OUTCOME_OK) {
      ++summary.done;
      continue;
    }
    const bool missing = outcomes[i] == v1::KEY_OUTCOME_MISS;
    if (missing) summary.missing.push_back(KeyText(keys[i]));
    summary.remarks.push_back(
        fmt::format("{}: {}", PrintableKey(keys[i]),
                    missing ? "not stored" : OutcomeText(outcomes[i])));
  }
  const bool all_missing = summary.missing.size() == keys.size();
  summary.exit_code = summary.done > 0 || keys.empty()
                          ? ExitCodeOfCount(summary.done, keys.size())
                          : (all_missing ? ExitCode::kNotFound : ExitCode::kError);
  return summary;
}

}  // namespace kvasir
