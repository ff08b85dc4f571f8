#ifndef KVASIR_SERVICE_KEY_REMOVAL_H_
#define KVASIR_SERVICE_KEY_REMOVAL_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "storage/tiered_store.h"

namespace kvasir {

// One removal of some keys for whoever wants to hear only the end of it: that they are
// gone for good, were not there, or could not be removed.
//
// Threads: Run from any thread; it goes on from those that settle removals.
// Bounds:  the keys that it is given.
class KeyRemoval {
 public:
  // Runs once, perhaps before Run returns, and may delete the object. Aligned with the
  // keys; never kPending.
  using Done = absl::AnyInvocable<void(const std::vector<TieredStore::Removed>&) &&>;

  // `store` is not owned and must outlive the object, which must outlive `done`.
  KeyRemoval(TieredStore* store, std::vector<std::string> keys, Done done)
      : store_(store), keys_(std::move(keys)), done_(std::move(done)) {}

  // REQUIRES: called once.
  void Run();

 private:
  // Takes in what has been settled. False: a key is to be waited for, and it goes on from
  // there, perhaps now.
  bool Settle();
  void GoOn();

  TieredStore* const store_;
  const std::vector<std::string> keys_;
  Done done_;
  std::vector<TieredStore::Removed> removed_;
  size_t settled_ = 0;  // of the keys, from the first on
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_KEY_REMOVAL_H_
