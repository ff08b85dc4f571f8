#include "service/clearing.h"

#include <fmt/core.h>

#include "base/count_text.h"
#include "base/limits.h"

namespace kvasir {

void Clearing::Run() {
  while (SettlePage()) {
    if (failed_count_ > 0) {
      return End(absl::UnavailableError(
          fmt::format("clear: removed {}, but the disk did not take {}",
                      CountText(removed_count_, "key"),
                      CountText(failed_count_, "removal"))));
    }
    if (last_page_) return End(absl::OkStatus());
    if (options_.cancelled()) {
      return End(absl::CancelledError(
          fmt::format("clear: cancelled after {}", CountText(removed_count_, "key"))));
    }
    RemovePage();
  }
}

void Clearing::RemovePage() {
  std::vector<KeyInfo> page = store_->List(options_.prefix, after_, kMaxListPageSize);
  last_page_ = page.size() < kMaxListPageSize;
  for (KeyInfo& info : page) {
    after_ = std::move(info.key);
    switch (store_->Remove(after_)) {
      case TieredStore::Removed::kAbsent:
        break;
      case TieredStore::Removed::kRemoved:
        ++removed_count_;
        break;
      case TieredStore::Removed::kPending:
        pending_.push_back(after_);
        break;
      case TieredStore::Removed::kFailed:
        ++failed_count_;
        break;
    }
  }
}

bool Clearing::SettlePage() {
  while (!pending_.empty()) {
    // Where this is true, another thread may be here already: nothing may be touched.
    if (store_->AwaitRemoval(pending_.back(), [this] { Run(); })) return false;
    const bool failed =
        store_->RemovalOf(pending_.back()) == TieredStore::Removed::kFailed;
    ++(failed ? failed_count_ : removed_count_);
    pending_.pop_back();
  }
  return true;
}

void Clearing::End(const absl::Status& status) {
  auto done = std::move(options_.done);
  std::move(done)(status, removed_count_);
}

}  // namespace kvasir
