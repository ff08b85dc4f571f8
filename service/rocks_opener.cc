#include "service/rocks_opener.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/limits.h"

namespace kvasir {
namespace {

constexpr size_t kReadersMax = 16;  // of one Load

// What files in `directory` take on disk, at most to the last that could be asked.
uint64_t TakenBytes(const std::filesystem::path& directory) {
  uint64_t taken_bytes = 0;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(directory, error), end;
       !error && it != end; it.increment(error)) {
    std::error_code no_file;
    const uint64_t file_bytes = it->file_size(no_file);
    if (!no_file) taken_bytes += file_bytes;
  }
  return taken_bytes;
}

// Half of what would be free without the database: the same after each restart.
uint64_t DefaultBudget(const std::filesystem::path& directory) {
  std::filesystem::path existing = directory;
  while (!std::filesystem::exists(existing) && existing.has_relative_path()) {
    existing = existing.parent_path();
  }
  std::error_code error;
  const auto space = std::filesystem::space(existing, error);
  const uint64_t free_bytes = error ? 0 : space.available;
  return std::max((free_bytes + TakenBytes(directory)) / 2, kMinTierBudgetBytes);
}

}  // namespace

RocksTierOptions TierOptions(const Config& config, const NodeTier::Executors& executors) {
  return {.directory = config.data_dir,
          .capacity_bytes = config.disk_bytes != 0 ? config.disk_bytes
                                                   : DefaultBudget(config.data_dir),
          .readers = executors.readers,
          .writers = executors.writers,
          .readers_max = kReadersMax};
}

absl::StatusOr<std::unique_ptr<Tier>> OpenRocksTier(
    const Config& config, const NodeTier::Executors& executors,
    const NodeTier::Progress& progress) {
  absl::StatusOr<std::unique_ptr<RocksTier>> tier =
      RocksTier::Open(TierOptions(config, executors), progress);
  if (!tier.ok()) return tier.status();
  return *std::move(tier);
}

}  // namespace kvasir
