#include "service/key_removal.h"

namespace kvasir {

void KeyRemoval::Run() {
  for (const std::string& key : keys_) removed_.push_back(store_->Remove(key));
  GoOn();
}

void KeyRemoval::GoOn() {
  if (!Settle()) return;
  Done done = std::move(done_);
  std::move(done)(removed_);
}

bool KeyRemoval::Settle() {
  for (; settled_ < keys_.size(); ++settled_) {
    TieredStore::Removed& removed = removed_[settled_];
    while (removed == TieredStore::Removed::kPending) {
      // Where this is true, another thread may be here already: nothing may be touched.
      if (store_->AwaitRemoval(keys_[settled_], [this] { GoOn(); })) return false;
      removed = store_->RemovalOf(keys_[settled_]);
    }
  }
  return true;
}

}  // namespace kvasir
