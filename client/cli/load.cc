#include "client/cli/load.h"

#include <fmt/core.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/limits.h"
#include "client/cli/workers.h"

namespace kvasir {

// One worker in one phase.
class Load::Worker {
 public:
  Worker(Load* load, size_t number, const Buffer* buffer)
      : load_(load), buffer_(*buffer) {
    for (size_t i = 0; i < load->options_.keys; ++i) {
      ids_.push_back(number * load->options_.keys + i);
      keys_.push_back(fmt::format("{}{}", load->options_.key_prefix, ids_.back()));
      slots_.push_back(buffer->Slot(i, load->options_.block_bytes));
      payloads_.push_back(slots_.back());
    }
    for (size_t i = 0; i < keys_.size(); ++i) {
      puts_.push_back({keys_[i], std::span(&payloads_[i], 1), {}});
      gets_.push_back({keys_[i], std::span(&slots_[i], 1)});
    }
  }

  void Fill() {
    for (size_t i = 0; i < ids_.size(); ++i) load_->pattern_.Fill(ids_[i], slots_[i]);
  }
  // What puts have left must not be there for a get that only pretends.
  void Wipe() {
    for (const std::span<std::byte> slot : slots_) std::ranges::fill(slot, std::byte{0});
  }
  // Replacing keeps the memory in use the same, however long it goes on.
  std::vector<absl::Status> Put() {
    return load_->client_->Put(
        puts_, {.replace = true, .durability = load_->options_.durability});
  }
  std::vector<absl::Status> Get() { return load_->client_->Get(gets_, GetOptions()); }
  size_t Mismatches(std::span<const absl::Status> statuses) {
    size_t wrong = 0;
    for (size_t i = 0; i < ids_.size(); ++i) {
      if (!statuses[i].ok()) continue;
      wrong += load_->pattern_.VerifyAndSpoil(ids_[i], slots_[i]).has_value() ? 1 : 0;
    }
    return wrong;
  }

 private:
  Load* const load_;
  const Buffer& buffer_;
  std::vector<uint64_t> ids_;
  std::vector<std::string> keys_;
  std::vector<std::span<std::byte>> slots_;
  std::vector<std::span<const std::byte>> payloads_;
  std::vector<PutItem> puts_;
  std::vector<GetItem> gets_;
};

Load::Load(Client* client, const Clock* clock, const LoadOptions& options,
           Progress* progress)
    : client_(client),
      clock_(clock),
      options_(options),
      progress_(progress),
      pattern_(options.block_bytes) {}

bool Load::Over(Instant end) const {
  // Relaxed: nothing else is read because of it.
  return clock_->Now() >= end || (options_.interrupted != nullptr &&
                                  options_.interrupted->load(std::memory_order_relaxed));
}

LoadPhase Load::RunPhase(Kind kind, std::vector<Buffer>* buffers) {
  {
    absl::MutexLock lock(&mu_);
    phase_ = LoadPhase();
  }
  BusyTime busy(clock_);
  const Instant start = clock_->Now();
  RunWorkers(options_.concurrency, [&](size_t number) {
    Worker worker(this, number, &(*buffers)[number]);
    kind == Kind::kPut ? worker.Fill() : worker.Wipe();
    do {  // At least once, so that a report always has something in it.
      std::vector<absl::Status> statuses;
      const std::chrono::nanoseconds took = busy.Measure(
          [&] { statuses = kind == Kind::kPut ? worker.Put() : worker.Get(); });
      const bool verify = kind == Kind::kGet && options_.verify;
      const size_t mismatches = verify ? worker.Mismatches(statuses) : 0;
      absl::MutexLock lock(&mu_);
      ++phase_.batches;
      phase_.latency.Add(took);
      phase_.mismatches += mismatches;
      for (const absl::Status& status : statuses) {
        if (!status.ok() && phase_.first_failure.empty()) {
          phase_.first_failure = status.ToString();
        }
        ++(status.ok() ? phase_.blocks : phase_.failures);
      }
      phase_.bytes = phase_.blocks * options_.block_bytes;
      progress_->Update(
          static_cast<uint64_t>(
              std::chrono::duration_cast<std::chrono::milliseconds>(clock_->Now() - start)
                  .count()),
          fmt::format("{} of {}", kind == Kind::kPut ? "put" : "got",
                      FormatSize(phase_.bytes)));
    } while (!Over(start + options_.phase));
  });
  absl::MutexLock lock(&mu_);
  phase_.busy = busy.total();
  return phase_;
}

absl::StatusOr<LoadReport> Load::Run() {
  std::vector<Buffer> buffers;
  for (size_t i = 0; i < options_.concurrency; ++i) {
    auto buffer = Buffer::Make(client_, options_.keys * options_.block_bytes);
    if (!buffer.ok()) return buffer.status();
    buffers.push_back(*std::move(buffer));
  }
  LoadReport report;
  report.put = RunPhase(Kind::kPut, &buffers);
  report.get = RunPhase(Kind::kGet, &buffers);
  return report;
}

}  // namespace kvasir
