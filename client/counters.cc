#include "client/counters.h"

namespace kvasir {

void Counters::CountGet(std::span<const KeyResult> results, TransportKind transport) {
  std::array<uint64_t, kOutcomes> counts{};
  uint64_t bytes = 0;
  for (const KeyResult& result : results) {
    ++counts[static_cast<size_t>(result.outcome)];
    if (result.outcome == Outcome::kOk) bytes += result.size_bytes;
  }
  for (size_t i = 0; i < kOutcomes; ++i) Add(&gets_[i], counts[i]);
  Add(&got_bytes_[static_cast<size_t>(transport)], bytes);
}

void Counters::CountPut(std::span<const KeyResult> results, TransportKind transport) {
  uint64_t failures = 0;
  uint64_t puts = 0;
  uint64_t bytes = 0;
  for (const KeyResult& result : results) {
    if (result.outcome == Outcome::kOk) {
      ++puts;
      bytes += result.size_bytes;
    } else if (result.outcome != Outcome::kExists) {
      ++failures;
    }
  }
  Add(&puts_, puts);
  Add(&put_failures_, failures);
  Add(&put_bytes_[static_cast<size_t>(transport)], bytes);
}

void Counters::CountMisses(Outcome outcome, size_t keys) {
  Add(&gets_[static_cast<size_t>(outcome)], keys);
}

ClientCounters Counters::Read() const {
  const auto read = [](const Count& count) { return count.load(std::memory_order_relaxed); };
  const auto gets = [&](Outcome outcome) { return read(gets_[static_cast<size_t>(outcome)]); };
  ClientCounters now;
  for (const Count& count : gets_) now.misses += read(count);
  now.hits = gets(Outcome::kOk);
  now.misses -= now.hits;
  now.misses_absent = gets(Outcome::kAbsent);
  now.misses_late = gets(Outcome::kLate);
  now.misses_checksum = gets(Outcome::kChecksum);
  now.misses_size = gets(Outcome::kSize);
  now.misses_node_down = gets(Outcome::kNodeDown);
  now.misses_other = now.misses - now.misses_absent - now.misses_late - now.misses_checksum -
                     now.misses_size - now.misses_node_down;
  now.puts = read(puts_);
  now.put_failures = read(put_failures_);
  const auto of = [&](const std::array<Count, kTransports>& bytes, TransportKind kind) {
    return read(bytes[static_cast<size_t>(kind)]);
  };
  now.got_bytes_rdma = of(got_bytes_, TransportKind::kRdma);
  now.got_bytes_shm = of(got_bytes_, TransportKind::kShm);
  now.got_bytes_tcp = of(got_bytes_, TransportKind::kTcp);
  now.put_bytes_rdma = of(put_bytes_, TransportKind::kRdma);
  now.put_bytes_shm = of(put_bytes_, TransportKind::kShm);
  now.put_bytes_tcp = of(put_bytes_, TransportKind::kTcp);
  now.retries = read(retries_);
  now.reconnects = read(reconnects_);
  now.transport_fallbacks = read(transport_fallbacks_);
  return now;
}

}  // namespace kvasir
