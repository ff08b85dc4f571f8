#include "client/cli/progress.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

namespace kvasir {
namespace {

constexpr std::chrono::milliseconds kBarInterval{100};
constexpr std::chrono::milliseconds kLineInterval{5'000};
constexpr size_t kBarColumns = 24;

}  // namespace

Progress::Progress(const Options& options)
    : options_(options),
      next_(options.clock->Now() + (options.terminal ? kBarInterval : kLineInterval)) {}

Progress::~Progress() {
  absl::MutexLock lock(&mu_);
  if (drawn_columns_ == 0) return;
  *options_.err << "\r" << std::string(drawn_columns_, ' ') << "\r" << std::flush;
}

void Progress::Update(uint64_t done, std::string_view detail) {
  const Instant now = options_.clock->Now();
  absl::MutexLock lock(&mu_);
  if (now < next_) return;
  next_ = now + (options_.terminal ? kBarInterval : kLineInterval);
  Draw(done, detail);
}

void Progress::Draw(uint64_t done, std::string_view detail) {
  const uint64_t total = std::max<uint64_t>(1, options_.total);
  const uint64_t percent = std::min(done, total) * 100 / total;
  if (!options_.terminal) {
    *options_.err << fmt::format("{}: {} of {} ({} %), {}\n", options_.label, done,
                                 options_.total, percent, detail)
                  << std::flush;
    return;
  }
  const size_t filled = percent * kBarColumns / 100;
  std::string line = fmt::format(
      "{} [{}{}] {:>3} %  {}/{}  {}", options_.label, std::string(filled, '='),
      std::string(kBarColumns - filled, ' '), percent, done, options_.total, detail);
  const size_t columns = line.size();
  if (columns < drawn_columns_) line.append(drawn_columns_ - columns, ' ');
  drawn_columns_ = columns;
  *options_.err << "\r" << line << std::flush;
}

}  // namespace kvasir
