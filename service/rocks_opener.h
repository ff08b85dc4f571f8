#ifndef KVASIR_SERVICE_ROCKS_OPENER_H_
#define KVASIR_SERVICE_ROCKS_OPENER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "service/config.h"
#include "service/node_tier.h"
#include "storage/rocks_tier.h"
#include "storage/tier.h"

namespace kvasir {

// How the tier of `config` is to be opened. The executors are not owned.
RocksTierOptions TierOptions(const Config& config, const NodeTier::Executors& executors);

// Opens the tier of `config`, with the budget that it names or the default. Errors as
// RocksTier::Open has them.
absl::StatusOr<std::unique_ptr<Tier>> OpenRocksTier(
    const Config& config, const NodeTier::Executors& executors,
    const NodeTier::Progress& progress);

}  // namespace kvasir

#endif  // KVASIR_SERVICE_ROCKS_OPENER_H_
