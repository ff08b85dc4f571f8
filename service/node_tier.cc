#include "service/node_tier.h"

#include <fmt/core.h>

#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"
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
// What writes to the disk stands back behind what answers requests: with two processors,
// both busy, it made the slowest hundredth of puts wait twice as long otherwise
// (tests/bench/demotion_bench.cc). A tenth of a processor is left to it in the worst case.
constexpr int kStoreNice = 10;

}  // namespace

NodeTier::NodeTier()
    : read_threads_(std::make_unique<ThreadPool>(ThreadPool::Options{
          .name = "kv-tier-read", .threads = kReadThreads, .queue_tasks_max = kQueueMax})),
      write_threads_(
          std::make_unique<ThreadPool>(ThreadPool::Options{.name = "kv-tier-write",
                                                           .threads = kMaxTierWriters - 1,
                                                           .queue_tasks_max = kQueueMax,
                                                           .nice = kStoreNice})),
      load_threads_(std::make_unique<ThreadPool>(ThreadPool::Options{
          .name = "kv-tier-load", .threads = kLoadThreads, .queue_tasks_max = kQueueMax})),
      store_threads_(std::make_unique<ThreadPool>(
          ThreadPool::Options{.name = "kv-tier-store",
                              .threads = kStoreThreads,
                              .queue_tasks_max = kQueueMax,
                              .nice = kStoreNice})) {}

NodeTier::~NodeTier() { Stop(); }

void NodeTier::Stop() {
  // The readers and writers last: the others wait for them.
  store_threads_.reset();
  load_threads_.reset();
  write_threads_.reset();
  read_threads_.reset();
}

void NodeTier::Open(Opener opener, SetAside set_aside, TieredStore* store,
                    Opened opened) {
  opener_ = std::move(opener);
  set_aside_ = std::move(set_aside);
  store_ = store;
  opened_ = std::move(opened);
  {
    absl::MutexLock lock(&mu_);
    trying_ = true;
  }
  Submit();
}

void NodeTier::Step(Instant now) {
  {
    absl::MutexLock lock(&mu_);
    // A try that has failed says so before it ends.
    if (!again_ || trying_) return;
    if (!due_.has_value()) due_ = now + kTierProbeInterval;
    if (now < *due_) return;
    due_.reset();
    again_ = false;
    trying_ = true;
  }
  Submit();
}

void NodeTier::Submit() {
  if (store_threads_->Submit([this] { Try(); })) return;
  absl::MutexLock lock(&mu_);  // Full, for now.
  trying_ = false;
  again_ = true;
}

void NodeTier::EndOpening() {
  absl::MutexLock lock(&mu_);
  again_ = false;
  const auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return !trying_; };
  mu_.Await(absl::Condition(&idle));
  again_ = false;
}

std::string NodeTier::fault() const {
  absl::MutexLock lock(&mu_);
  return fault_;
}

void NodeTier::Try() {
  const absl::Status status = OpenNow();
  if (status.ok()) {
    Tell(status);
  } else {
    OnFault(status);
  }
  absl::MutexLock lock(&mu_);
  trying_ = false;
}

absl::Status NodeTier::OpenNow() {
  absl::StatusOr<std::unique_ptr<Tier>> tier =
      opener_({.readers = read_threads_.get(), .writers = write_threads_.get()},
              [this](uint64_t keys, uint64_t keys_total) {
                keys_ = keys;
                keys_total_ = keys_total;
              });
  if (!tier.ok()) return tier.status();
  if (opened_ == nullptr && (*tier)->generation_max() != 0) {
    tier->reset();
    return absl::DataLossError(
        "open tier: it has blocks again, and memory has gone on without them");
  }
  tier_ = *std::move(tier);
  store_->Attach(tier_.get());
  store_->TryWrites();
  const Tier::Stats stats = tier_->stats();
  Log(LogLevel::kInfo, fmt::format("disk: blocks recovered {} with {}, lost {}, budget {}",
                                   stats.recovered_blocks, FormatSize(stats.block_bytes),
                                   stats.lost_blocks, FormatSize(stats.capacity_bytes)));
  absl::MutexLock lock(&mu_);
  fault_.clear();
  return absl::OkStatus();
}

std::string NodeTier::MoveAside(const absl::Status& damage) {
  const absl::StatusOr<std::string> aside = set_aside_();
  set_aside_count_ += aside.ok();
  return fmt::format("{}; {}", ToStd(damage.message()),
                     aside.ok() ? fmt::format("set aside as {}", *aside)
                                : fmt::format("and it could not be set aside: {}",
                                              ToStd(aside.status().message())));
}

void NodeTier::OnFault(const absl::Status& status) {
  const bool serving = opened_ == nullptr;
  if (!serving && absl::IsFailedPrecondition(status)) return Tell(status);
  const bool damaged = absl::IsDataLoss(status);
  const std::string fault =
      damaged ? MoveAside(status) : std::string(ToStd(status.message()));
  const bool alone = serving || damaged || absl::IsResourceExhausted(status);
  bool is_new = false;
  {
    absl::MutexLock lock(&mu_);
    is_new = fault != fault_;
    fault_ = fault;
    again_ = true;
  }
  if (is_new) {
    Log(LogLevel::kError,
        fmt::format("disk: {}, and tried again every {} s: {}",
                    alone ? "none now, memory only" : "cannot be read, nothing is served",
                    kTierProbeInterval.count() / 1000, fault));
  }
  if (!alone) return;
  store_->health()->SetAbsent(fault);
  Tell(absl::OkStatus());
}

void NodeTier::Tell(const absl::Status& status) {
  if (opened_ == nullptr) return;
  std::exchange(opened_, nullptr)(status);
}

}  // namespace kvasir
