#include "storage/arena.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "storage/arena_window.h"

namespace kvasir {
namespace {

// Slots that one FindWindow looks at around its seeds (about 0.2 ms), and in the whole
// arena when that found nothing (about 5 ms).
constexpr size_t kSeedSlotsMax = 4096;
constexpr size_t kScanSlotsMax = 65'536;
// Largest free runs that FindWindow starts from, besides its seeds.
constexpr size_t kSeedRuns = 4;

uint32_t CapacityUnits(const Region& region) {
  const uint64_t units = region.bytes().size() / Arena::kUnitBytes;
  KV_CHECK(units > 0 && units < uint64_t{1} << 31);  // 8 TiB
  return static_cast<uint32_t>(units);
}

}  // namespace

Arena::Arena(Region* region) : region_(region), capacity_units_(CapacityUnits(*region)) {
  absl::MutexLock lock(&mu_);
  auto* const run = new Slot;
  run->units_ = capacity_units_;
  LinkRunLocked(run, nullptr, nullptr);
}

Arena::~Arena() {
  absl::MutexLock lock(&mu_);
  KV_CHECK(allocated_units_ == 0);
  for (const auto& [key, run] : runs_) delete run;
}

void Arena::LinkLocked(Slot* slot, Slot* below, Slot* above) {
  slot->below_ = below;
  slot->above_ = above;
  (below == nullptr ? lowest_ : below->above_) = slot;
  if (above != nullptr) above->below_ = slot;
}

void Arena::LinkRunLocked(Slot* run, Slot* below, Slot* above) {
  run->is_run_ = 1;
  LinkLocked(run, below, above);
  runs_.emplace(KeyOf(*run), run);
}

absl::Status Arena::Allocate(uint64_t size_bytes, Slot* slot) {
  if (size_bytes == 0 || size_bytes > kMaxBlockBytes) {
    return absl::InvalidArgumentError(
        fmt::format("allocate: {} bytes is not in [1, {}]", size_bytes, kMaxBlockBytes));
  }
  const auto units = static_cast<uint32_t>(AllocatedBytes(size_bytes) / kUnitBytes);
  std::unique_ptr<Slot> spent;  // Deleted after the lock goes.
  absl::MutexLock lock(&mu_);
  KV_CHECK(slot->units_ == 0);
  const auto fit = runs_.lower_bound(RunKey{units} << 32);
  if (fit == runs_.end()) {
    return absl::ResourceExhaustedError(
        fmt::format("allocate: {} bytes do not fit; {} bytes are free, {} in one run",
                    size_bytes, (capacity_units_ - allocated_units_) * kUnitBytes,
                    LargestRunUnitsLocked() * kUnitBytes));
  }
  Slot* const run = fit->second;
  runs_.erase(fit);
  slot->first_unit_ = run->first_unit_;
  slot->units_ = units;
  if (run->units_ == units) {
    LinkLocked(slot, run->below_, run->above_);
    spent.reset(run);
  } else {
    LinkLocked(slot, run->below_, run);
    run->first_unit_ += units;
    run->units_ -= units;
    LinkRunLocked(run, slot, run->above_);
  }
  allocated_units_ += units;
  return absl::OkStatus();
}

void Arena::Free(Slot* slot) {
  auto run = std::make_unique<Slot>();
  std::unique_ptr<Slot> merged_below, merged_above;  // Deleted after the lock goes.
  absl::MutexLock lock(&mu_);
  KV_CHECK(slot->units_ > 0 && !slot->is_run_ && allocated_units_ >= slot->units_);
  allocated_units_ -= slot->units_;
  Slot* below = slot->below_;
  Slot* above = slot->above_;
  run->first_unit_ = slot->first_unit_;
  uint32_t units = slot->units_;
  if (below != nullptr && below->is_run_) {
    runs_.erase(KeyOf(*below));
    run->first_unit_ = below->first_unit_;
    units += below->units_;
    merged_below.reset(std::exchange(below, below->below_));
  }
  if (above != nullptr && above->is_run_) {
    runs_.erase(KeyOf(*above));
    units += above->units_;
    merged_above.reset(std::exchange(above, above->above_));
  }
  run->units_ = units;
  LinkRunLocked(run.release(), below, above);
  slot->units_ = 0;
  slot->below_ = slot->above_ = nullptr;
}

// Gathers what lies around a seed and keeps the cheapest window of all seeds.
class Arena::Window {
 public:
  Window(const WindowRequest& request, size_t slots_max)
      : request_(request),
        units_(AllocatedBytes(request.size_bytes) / kUnitBytes),
        slots_left_(slots_max) {}

  // Considers every window that contains `seed`.
  void Around(Slot* seed) {
    const uint64_t seed_cost = CostOf(*seed);
    if (seed_cost == kImmovable || slots_left_ == 0) return;
    slots_.clear();
    pieces_.clear();
    uint64_t reach = seed->units_;
    for (Slot* at = seed->below_; at != nullptr && reach < units_; at = at->below_) {
      if (!Add(at)) break;
      reach += at->units_;
    }
    std::reverse(slots_.begin(), slots_.end());
    std::reverse(pieces_.begin(), pieces_.end());
    reach = 0;
    for (Slot* at = seed; at != nullptr && reach < units_; at = at->above_) {
      if (!Add(at)) break;
      if (at != seed) reach += at->units_;
    }
    Compare();
  }

  // Considers every window from `lowest` up.
  void Above(Slot* lowest) {
    for (Slot* at = lowest; at != nullptr && slots_left_ > 0; at = at->above_) {
      if (!Add(at)) pieces_.push_back({.units = 0, .cost = kImmovablePiece});
      if (pieces_.size() > slots_.size()) slots_.push_back(at);
    }
    Compare();
  }

  const std::vector<Slot*>& best() const { return best_; }

 private:
  uint64_t CostOf(const Slot& slot) const {
    return slot.is_run_ ? 0 : request_.cost(slot);
  }

  bool Add(Slot* slot) {
    if (slots_left_ == 0) return false;
    --slots_left_;
    const uint64_t cost = CostOf(*slot);
    if (cost == kImmovable) return false;
    slots_.push_back(slot);
    pieces_.push_back({.units = slot->units_, .cost = cost});
    return true;
  }

  void Compare() {
    const WindowRange range = CheapestWindow(pieces_, units_);
    if (range.cost >= best_cost_) return;
    best_cost_ = range.cost;
    best_.assign(slots_.begin() + range.first, slots_.begin() + range.end);
  }

  const WindowRequest& request_;
  const uint64_t units_;
  size_t slots_left_;
  std::vector<Slot*> slots_;
  std::vector<WindowPiece> pieces_;  // aligned with slots_
  uint64_t best_cost_ = kImmovablePiece;
  std::vector<Slot*> best_;
};

bool Arena::FindWindow(const WindowRequest& request) {
  Window window(request, request.everywhere ? kScanSlotsMax : kSeedSlotsMax);
  absl::MutexLock lock(&mu_);
  if (request.everywhere) {
    window.Above(lowest_);
  } else {
    size_t runs = 0;
    for (auto it = runs_.rbegin(); it != runs_.rend() && runs < kSeedRuns; ++it, ++runs) {
      window.Around(it->second);
    }
    for (Slot* seed : request.seeds) window.Around(seed);
  }
  for (Slot* slot : window.best()) {
    if (!slot->is_run_) request.take(slot);
  }
  return !window.best().empty();
}

uint64_t Arena::LargestRunUnitsLocked() const {
  return runs_.empty() ? 0 : runs_.rbegin()->second->units_;
}

Arena::Usage Arena::usage() const {
  absl::MutexLock lock(&mu_);
  return {.capacity_bytes = capacity_units_ * kUnitBytes,
          .allocated_bytes = allocated_units_ * kUnitBytes,
          .largest_free_bytes = LargestRunUnitsLocked() * kUnitBytes,
          .free_runs = runs_.size()};
}

}  // namespace kvasir
