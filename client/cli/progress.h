#ifndef KVASIR_CLIENT_CLI_PROGRESS_H_
#define KVASIR_CLIENT_CLI_PROGRESS_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"

namespace kvasir {

// Shows on standard error how far a long command is: on a terminal a bar that redraws
// itself, elsewhere a line every five seconds. Thread-safe.
class Progress {
 public:
  struct Options {
    std::ostream* err = nullptr;
    bool terminal = false;
    const Clock* clock = nullptr;
    std::string label;
    uint64_t total = 0;
  };
  explicit Progress(const Options& options);
  ~Progress();  // wipes the bar

  // `done` of total, and something to say about it, such as "3.2 GB/s".
  void Update(uint64_t done, std::string_view detail) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Draw(uint64_t done, std::string_view detail) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  absl::Mutex mu_;
  Instant next_ ABSL_GUARDED_BY(mu_);
  size_t drawn_columns_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_PROGRESS_H_
