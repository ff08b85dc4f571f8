#include "storage/settlements.h"

#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "fmt/core.h"

namespace kvasir {

using absl::MutexLock;

uint64_t Settlements::Open() {
  MutexLock lock(&mu_);
  const uint64_t id = next_id_++;
  entries_.try_emplace(id);
  return id;
}

void Settlements::Settle(uint64_t id, absl::Status result) {
  std::vector<absl::AnyInvocable<void()&&>> waiters;
  {
    MutexLock lock(&mu_);
    const auto entry = entries_.find(id);
    KV_CHECK(entry != entries_.end() && !entry->second.result.has_value());
    entry->second.result = std::move(result);
    waiters.swap(entry->second.waiters);
    settled_.push_back(id);
    if (settled_.size() > kMaxSettled) {
      entries_.erase(settled_.front());
      settled_.pop_front();
    }
  }
  for (auto& waiter : waiters) std::move(waiter)();
}

std::optional<absl::Status> Settlements::Result(uint64_t id) const {
  MutexLock lock(&mu_);
  const auto entry = entries_.find(id);
  if (entry != entries_.end()) return entry->second.result;
  return absl::NotFoundError(fmt::format("settle: {} is not known", id));
}

bool Settlements::Await(uint64_t id, absl::AnyInvocable<void() &&> settled) {
  MutexLock lock(&mu_);
  const auto entry = entries_.find(id);
  if (entry == entries_.end() || entry->second.result.has_value()) return false;
  entry->second.waiters.push_back(std::move(settled));
  return true;
}

}  // namespace kvasir
