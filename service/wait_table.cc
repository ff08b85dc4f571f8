#include "service/wait_table.h"

#include "base/limits.h"

namespace kvasir {

using absl::MutexLock;

uint64_t WaitTable::Add(Instant deadline, Answer answer) {
  MutexLock lock(&mu_);
  if (entries_.size() >= kMaxWaits) return 0;
  const uint64_t id = ++last_id_;
  entries_.try_emplace(id, Entry{.deadline = deadline, .answer = std::move(answer)});
  by_deadline_.emplace(deadline, id);
  return id;
}

WaitTable::Answer WaitTable::Take(uint64_t id) {
  MutexLock lock(&mu_);
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return {};
  Answer answer = std::move(entry->second.answer);
  by_deadline_.erase({entry->second.deadline, id});
  entries_.erase(entry);
  return answer;
}

void WaitTable::Fire(uint64_t id) {
  if (Answer answer = Take(id)) std::move(answer)();
}

bool WaitTable::Cancel(uint64_t id) { return static_cast<bool>(Take(id)); }

void WaitTable::Step(Instant now) {
  while (true) {
    uint64_t id = 0;
    {
      MutexLock lock(&mu_);
      if (by_deadline_.empty() || by_deadline_.begin()->first > now) return;
      id = by_deadline_.begin()->second;
    }
    Fire(id);
  }
}

size_t WaitTable::size() const {
  MutexLock lock(&mu_);
  return entries_.size();
}

}  // namespace kvasir
