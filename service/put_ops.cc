#include "service/put_ops.h"

#include <algorithm>

namespace kvasir {

using absl::MutexLock;

absl::flat_hash_map<uint64_t, PutOps::Put> PutOps::Find(uint64_t op_id) const {
  absl::flat_hash_map<uint64_t, Put> puts;
  MutexLock lock(&mu_);
  const auto op = ops_.find(op_id);
  if (op == ops_.end()) return puts;
  for (const Put& put : op->second) puts[put.key_hash] = put;  // The latest one stays.
  return puts;
}

void PutOps::Grant(uint64_t op_id, std::span<const Put> puts) {
  if (puts.empty()) return;
  MutexLock lock(&mu_);
  const auto [op, inserted] = ops_.try_emplace(op_id);
  if (inserted) order_.push_back(op_id);
  Puts& known = op->second;
  known.insert(known.end(), puts.begin(), puts.end());
  // Two calls of one op may come here in the other order than they were granted.
  const auto earlier = [](const Put& a, const Put& b) { return a.lease < b.lease; };
  if (!std::is_sorted(known.begin(), known.end(), earlier)) {
    std::sort(known.begin(), known.end(), earlier);
  }
  puts_ += puts.size();
  while (order_.size() > kMaxRememberedOps || puts_ > kMaxRememberedPuts) {
    ForgetOldestLocked();
  }
}

void PutOps::ForgetOldestLocked() {
  const auto op = ops_.find(order_.front());
  order_.pop_front();
  puts_ -= op->second.size();
  ops_.erase(op);
}

std::optional<size_t> PutOps::IndexOf(const Puts& puts, LeaseId lease) {
  const auto it = std::lower_bound(
      puts.begin(), puts.end(), lease,
      [](const Put& put, LeaseId wanted) { return put.lease < wanted; });
  if (it == puts.end() || it->lease != lease) return std::nullopt;
  return it - puts.begin();
}

std::optional<PutOps::Put> PutOps::FindLease(uint64_t op_id, LeaseId lease) const {
  MutexLock lock(&mu_);
  const auto op = ops_.find(op_id);
  if (op == ops_.end()) return std::nullopt;
  const std::optional<size_t> index = IndexOf(op->second, lease);
  return index.has_value() ? std::optional(op->second[*index]) : std::nullopt;
}

void PutOps::Settle(uint64_t op_id, const Put& put) {
  MutexLock lock(&mu_);
  const auto op = ops_.find(op_id);
  if (op == ops_.end()) return;
  const auto index = IndexOf(op->second, put.lease);
  if (!index.has_value()) return;
  op->second[*index].state = put.state;
  op->second[*index].settlement = put.settlement;
}

}  // namespace kvasir
