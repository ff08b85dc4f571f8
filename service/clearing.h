#ifndef KVASIR_SERVICE_CLEARING_H_
#define KVASIR_SERVICE_CLEARING_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "storage/tiered_store.h"

namespace kvasir {

// One removal of every key with a prefix, a page at a time. A key counts as removed once
// a crash cannot bring it back: the next page begins when the disk has deleted the last.
// Keys that are put meanwhile may be removed or not.
//
// Threads: Run from any thread; it goes on from those that settle removals.
// Bounds:  kMaxListPageSize keys are held, and wait for the disk, at a time.
class Clearing {
 public:
  struct Options {
    std::string prefix;  // empty: every key
    // Asked between waits; once true, the rest stays.
    std::function<bool()> cancelled;
    // Runs once, perhaps before Run returns, and may delete the object. OK; Unavailable if
    // the disk did not take a removal, and `removed_count` keys are gone all the same;
    // Cancelled.
    absl::AnyInvocable<void(const absl::Status& status, uint64_t removed_count) &&> done;
  };

  // `store` is not owned and must outlive the object, which must outlive `done`.
  Clearing(TieredStore* store, Options options)
      : store_(store), options_(std::move(options)) {}

  // REQUIRES: called once.
  void Run();

 private:
  void RemovePage();
  // Takes in what has been settled of the page. False: one is to be waited for, and Run
  // goes on from there, perhaps now.
  bool SettlePage();
  void End(const absl::Status& status);

  TieredStore* const store_;
  Options options_;
  std::string after_;                 // the last key of the page
  std::vector<std::string> pending_;  // of the page, not settled
  bool last_page_ = false;
  uint64_t removed_count_ = 0;
  uint64_t failed_count_ = 0;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_CLEARING_H_
