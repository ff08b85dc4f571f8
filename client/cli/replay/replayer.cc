#include "client/cli/replay/replayer.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "client/cli/buffer.h"
#include "client/cli/workers.h"

namespace kvasir {
namespace {

using std::chrono::nanoseconds;

double Ratio(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// Longest wait for a request's time without a look at whether to stop.
constexpr std::chrono::milliseconds kWaitMax{50};

// FNV-1a: any function of the prefix will do, as long as it stays the same.
uint64_t SaltOf(std::string_view key_prefix) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : key_prefix) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return hash;
}

}  // namespace

struct Replayer::Outcome {
  ReplayCounts counts;
  nanoseconds lookup{0}, get{0}, put{0};
  std::string first_mismatch, first_put_failure;
};

// One worker: a buffer, and the request it is at.
class Replayer::Worker {
 public:
  Worker(Replayer* replayer, const Buffer* buffer)
      : replayer_(replayer),
        block_bytes_(replayer->options_.block_bytes),
        buffer_(*buffer),
        batch_(std::min<size_t>(buffer->bytes().size() / block_bytes_, kMaxKeysPerCall)),
        left_in_slot_(batch_) {}

  Outcome Replay(const TraceRequest& request);

 private:
  void NameBlocks(std::span<const uint64_t> ids);
  // Gets [0, prefix) in batches up to the first hole; marks what arrived as stored.
  size_t GetPrefix(size_t prefix);
  // One batch from `first` on; true if all of it arrived.
  bool GetBatch(size_t first, size_t count);
  void Verify(size_t block, std::span<std::byte> bytes);
  void PutMissed(size_t hits);
  void PutBatch(std::span<const size_t> blocks);
  void CountPut(const absl::Status& status);

  Replayer* const replayer_;
  const uint64_t block_bytes_;
  const Buffer& buffer_;
  const size_t batch_;  // blocks a call
  // What a put has left in each slot: right bytes, which must not be there for a get
  // that only pretends. A get leaves none: see VerifyAndSpoil.
  std::vector<std::optional<uint64_t>> left_in_slot_;

  // Of the request at hand; aligned with its ids.
  std::span<const uint64_t> ids_;
  std::vector<std::string> keys_;
  std::vector<std::string_view> views_;
  std::vector<bool> stored_;  // no need to put
  Outcome outcome_;
};

Replayer::Outcome Replayer::Worker::Replay(const TraceRequest& request) {
  outcome_ = {};
  NameBlocks(replayer_->trace_->IdsOf(request));
  LookupResult found;
  outcome_.lookup = replayer_->lookup_busy_.Measure(
      [&] { found = replayer_->client_->Lookup(views_, {}); });
  stored_ = found.present;
  stored_.resize(ids_.size());
  const size_t hits = GetPrefix(std::min(found.prefix_count, ids_.size()));
  PutMissed(hits);

  ReplayCounts& counts = outcome_.counts;
  counts.requests = 1;
  counts.looked_up = ids_.size();
  counts.hits = hits;
  for (size_t i = 0; i < hits; ++i) counts.hits_disk += found.on_disk[i] ? 1 : 0;
  counts.prefill_tokens = request.input_length;
  counts.prefill_tokens_saved = TokensOf(request, hits);
  return std::move(outcome_);
}

void Replayer::Worker::NameBlocks(std::span<const uint64_t> ids) {
  ids_ = ids;
  keys_.clear();
  for (const uint64_t id : ids) {
    keys_.push_back(fmt::format("{}{}", replayer_->options_.key_prefix, id));
  }
  views_.assign(keys_.begin(), keys_.end());
}

size_t Replayer::Worker::GetPrefix(size_t prefix) {
  size_t done = 0;
  bool unbroken = true;
  while (unbroken && done < prefix) {
    const size_t count = std::min(batch_, prefix - done);
    unbroken = GetBatch(done, count);
    done += count;
  }
  // What was behind the hole has not been asked for, or arrived for nothing.
  size_t hits = 0;
  while (hits < done && stored_[hits]) ++hits;
  return hits;
}

bool Replayer::Worker::GetBatch(size_t first, size_t count) {
  std::vector<std::span<std::byte>> slots;
  for (size_t i = 0; i < count; ++i) {
    slots.push_back(buffer_.Slot(i, block_bytes_));
    if (left_in_slot_[i] == ids_[first + i]) std::ranges::fill(slots[i], std::byte{0});
    left_in_slot_[i].reset();
  }
  std::vector<GetItem> items;
  for (size_t i = 0; i < count; ++i) {
    items.push_back({views_[first + i], std::span(&slots[i], 1)});
  }
  std::vector<absl::Status> statuses;
  outcome_.get += replayer_->get_busy_.Measure(
      [&] { statuses = replayer_->client_->Get(items, GetOptions()); });
  bool all = true;
  for (size_t i = 0; i < count; ++i) {
    if (statuses[i].ok()) {
      Verify(first + i, slots[i]);
      continue;
    }
    ++outcome_.counts.lost;
    stored_[first + i] = false;
    all = false;
  }
  return all;
}

void Replayer::Worker::Verify(size_t block, std::span<std::byte> bytes) {
  outcome_.counts.bytes_got += bytes.size();
  const std::optional<size_t> wrong =
      replayer_->pattern_.VerifyAndSpoil(ids_[block], bytes);
  if (!wrong.has_value()) {
    outcome_.counts.bytes_verified += bytes.size();
    return;
  }
  ++outcome_.counts.mismatches;
  if (outcome_.first_mismatch.empty()) {
    outcome_.first_mismatch =
        fmt::format("{}: wrong from byte {} of {} on", PrintableKey(views_[block]),
                    *wrong, bytes.size());
  }
}

void Replayer::Worker::PutMissed(size_t hits) {
  std::unordered_set<uint64_t> sent;  // an id may stand twice in a request
  std::vector<size_t> blocks;
  for (size_t i = hits; i < ids_.size(); ++i) {
    if (stored_[i] || !sent.insert(ids_[i]).second) continue;
    blocks.push_back(i);
    if (blocks.size() == batch_) {
      PutBatch(blocks);
      blocks.clear();
    }
  }
  if (!blocks.empty()) PutBatch(blocks);
}

void Replayer::Worker::PutBatch(std::span<const size_t> blocks) {
  std::vector<std::span<const std::byte>> slots;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::span<std::byte> slot = buffer_.Slot(i, block_bytes_);
    replayer_->pattern_.Fill(ids_[blocks[i]], slot);
    left_in_slot_[i] = ids_[blocks[i]];
    slots.push_back(slot);
  }
  std::vector<PutItem> items;
  for (size_t i = 0; i < blocks.size(); ++i) {
    items.push_back({views_[blocks[i]], std::span(&slots[i], 1), {}});
  }
  std::vector<absl::Status> statuses;
  const PutOptions options = {.durability = replayer_->options_.durability};
  outcome_.put += replayer_->put_busy_.Measure(
      [&] { statuses = replayer_->client_->Put(items, options); });
  for (const absl::Status& status : statuses) CountPut(status);
}

void Replayer::Worker::CountPut(const absl::Status& status) {
  ReplayCounts& counts = outcome_.counts;
  if (status.ok()) {
    ++counts.put;
    counts.bytes_put += block_bytes_;
    return;
  }
  if (absl::IsAlreadyExists(status) || absl::IsAborted(status)) {
    ++counts.puts_present;
    return;
  }
  ++(absl::IsResourceExhausted(status) ? counts.puts_refused : counts.put_failures);
  if (outcome_.first_put_failure.empty()) outcome_.first_put_failure = status.ToString();
}

void ReplayCounts::Add(const ReplayCounts& other) {
  requests += other.requests;
  looked_up += other.looked_up;
  hits += other.hits;
  hits_disk += other.hits_disk;
  lost += other.lost;
  put += other.put;
  puts_present += other.puts_present;
  puts_refused += other.puts_refused;
  put_failures += other.put_failures;
  bytes_put += other.bytes_put;
  bytes_got += other.bytes_got;
  bytes_verified += other.bytes_verified;
  mismatches += other.mismatches;
  prefill_tokens += other.prefill_tokens;
  prefill_tokens_saved += other.prefill_tokens_saved;
}

double ReplayReport::hit_ratio() const { return Ratio(counts.hits, counts.looked_up); }

double ReplayReport::ideal_hit_ratio() const {
  return Ratio(ideal_hits, counts.looked_up);
}

Replayer::Replayer(Client* client, const Clock* clock, const Trace* trace,
                   const ReplayOptions& options, Progress* progress)
    : client_(client),
      clock_(clock),
      trace_(trace),
      options_(options),
      progress_(progress),
      pattern_(SaltOf(options.key_prefix)),
      lookup_busy_(clock),
      get_busy_(clock),
      put_busy_(clock) {}

bool Replayer::Over() const {
  // Relaxed: nothing else is read because of it.
  if (options_.interrupted != nullptr &&
      options_.interrupted->load(std::memory_order_relaxed)) {
    return true;
  }
  return options_.run_for.has_value() && clock_->Now() - start_ >= *options_.run_for;
}

const TraceRequest* Replayer::Take() {
  const TraceRequest* request = nullptr;
  {
    absl::MutexLock lock(&mu_);
    if (Over() || next_ == trace_->requests.size()) return nullptr;
    request = &trace_->requests[next_++];
  }
  if (options_.speedup > 0) {
    const nanoseconds offset(
        static_cast<int64_t>(request->timestamp_ms * 1e6 / options_.speedup));
    while (true) {
      const nanoseconds early = start_ + offset - clock_->Now();
      if (early.count() <= 0) break;
      if (Over()) return nullptr;
      options_.wait(std::min<nanoseconds>(early, kWaitMax));
    }
  }
  // Only now: what is taken but never due does not count for the ideal either.
  absl::MutexLock lock(&mu_);
  report_.ideal_hits += ideal_.Admit(trace_->IdsOf(*request));
  return request;
}

void Replayer::Record(const Outcome& outcome) {
  absl::MutexLock lock(&mu_);
  report_.counts.Add(outcome.counts);
  report_.lookup.Add(outcome.lookup);
  if (outcome.get.count() > 0) report_.get.Add(outcome.get);
  if (outcome.put.count() > 0) report_.put.Add(outcome.put);
  if (report_.first_mismatch.empty()) report_.first_mismatch = outcome.first_mismatch;
  if (report_.first_put_failure.empty()) {
    report_.first_put_failure = outcome.first_put_failure;
  }
  if (progress_ == nullptr) return;
  progress_->Update(
      report_.counts.requests,
      fmt::format("hit ratio {:.3f} (ideal {:.3f}), {} verified, {} mismatches",
                  report_.hit_ratio(), report_.ideal_hit_ratio(),
                  FormatSize(report_.counts.bytes_verified), report_.counts.mismatches));
}

absl::StatusOr<ReplayReport> Replayer::Run() {
  std::vector<Buffer> buffers;
  for (size_t i = 0; i < options_.concurrency; ++i) {
    absl::StatusOr<Buffer> buffer =
        Buffer::Make(client_, std::max(options_.batch_bytes, options_.block_bytes));
    if (!buffer.ok()) return buffer.status();
    buffers.push_back(*std::move(buffer));
  }
  start_ = clock_->Now();
  RunWorkers(options_.concurrency, [this, &buffers](size_t i) {
    Worker worker(this, &buffers[i]);
    while (const TraceRequest* request = Take()) Record(worker.Replay(*request));
  });
  absl::MutexLock lock(&mu_);
  report_.elapsed = clock_->Now() - start_;
  report_.get_busy = get_busy_.total();
  report_.put_busy = put_busy_.total();
  return report_;
}

}  // namespace kvasir
