#ifndef KVASIR_SERVICE_ROCKS_OPENER_H_
#define KVASIR_SERVICE_ROCKS_OPENER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "base/executor.h"
#include "service/config.h"
#include "service/node_tier.h"
#include "storage/rocks_tier.h"
#include "storage/tier.h"

namespace kvasir {

// How the tier of `config` is to be opened, with `readers` (not owned) for its reads.
RocksTierOptions TierOptions(const Config& config, Executor* readers);

// Opens the tier of `config`, with the budget that it names or the default. Errors as
// RocksTier::Open has them.
absl::StatusOr<std::unique_ptr<Tier>> OpenRocksTier(const Config& config,
                                                    Executor* readers,
                                                    const NodeTier::Progress& progress);

}  // namespace kvasir

#endif  // KVASIR_SERVICE_ROCKS_OPENER_H_
