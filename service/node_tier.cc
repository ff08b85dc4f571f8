#include "service/node_tier.h"

#include <fmt/core.h>

#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"

namespace kvasir {
namespace {

// One each for durable puts, demotions and deletions.
constexpr size_t kStoreThreads = 3;
// One for each batch of promotions at a time.
constexpr size_t kLoadThreads = 2;
// What keeps a disk's queue deep; they wait rather than work.
constexpr size_t kReadThreads = 16;
constexpr size_t kQueueMax = 1024;

}  // namespace

NodeTier::NodeTier()
    : read_threads_(std::make_unique<ThreadPool>(ThreadPool::Options{
          .name = "kv-tier-read", .threads = kReadThreads, .queue_tasks_max = kQueueMax})),
      load_threads_(std::make_unique<ThreadPool>(ThreadPool::Options{
          .name = "kv-tier-load", .threads = kLoadThreads, .queue_tasks_max = kQueueMax})),
      store_threads_(std::make_unique<ThreadPool>(
          ThreadPool::Options{.name = "kv-tier-store",
                              .threads = kStoreThreads,
                              .queue_tasks_max = kQueueMax})) {}

NodeTier::~NodeTier() { Stop(); }

void NodeTier::Stop() {
  // The readers last: the others wait for them.
  store_threads_.reset();
  load_threads_.reset();
  read_threads_.reset();
}

void NodeTier::Open(Opener opener, SetAside set_aside, TieredStore* store,
                    absl::AnyInvocable<void(const absl::Status&) &&> opened) {
  const bool accepted = store_threads_->Submit(
      [this, opener = std::move(opener), set_aside = std::move(set_aside), store,
       opened = std::move(opened)]() mutable {
        std::move(opened)(OpenNow(opener, set_aside, store));
      });
  KV_CHECK(accepted);  // It is the first task.
}

absl::Status NodeTier::OpenNow(const Opener& opener, const SetAside& set_aside,
                               TieredStore* store) {
  absl::StatusOr<std::unique_ptr<Tier>> tier =
      opener(read_threads_.get(), [this](uint64_t keys, uint64_t keys_total) {
        keys_ = keys;
        keys_total_ = keys_total;
      });
  if (tier.ok()) {
    tier_ = *std::move(tier);
    store->Attach(tier_.get());
    const Tier::Stats stats = tier_->stats();
    Log(LogLevel::kInfo,
        fmt::format("disk: {} blocks with {} recovered, {} lost, budget {}",
                    stats.recovered_blocks, FormatSize(stats.block_bytes),
                    stats.lost_blocks, FormatSize(stats.capacity_bytes)));
    return absl::OkStatus();
  }
  std::string reason(ToStd(tier.status().message()));
  if (absl::IsFailedPrecondition(tier.status())) return tier.status();
  if (absl::IsDataLoss(tier.status())) {
    const absl::StatusOr<std::string> aside = set_aside();
    reason += aside.ok() ? "; set aside as " + *aside
                         : fmt::format("; and it could not be set aside: {}",
                                       ToStd(aside.status().message()));
  }
  Log(LogLevel::kError, fmt::format("disk: none until a restart, memory only: {}", reason));
  store->health()->Condemn(reason);
  return absl::OkStatus();
}

}  // namespace kvasir
