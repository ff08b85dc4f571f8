#include "rdma/verbs_exports.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/synchronization/blocking_counter.h"
#include "base/bytes.h"
#include "base/log.h"

namespace kvasir {

// One registration to be made.
struct VerbsExports::Job {
  const VerbsDevice* device = nullptr;
  std::span<std::byte> bytes;
  int access = 0;
  absl::Status status;
  VerbsMr mr;

  void Run() {
    absl::StatusOr<VerbsMr> made = device->Register(bytes, access);
    status = made.status();
    if (made.ok()) mr = *std::move(made);
  }
};

absl::Status VerbsExports::Add(const Region& region, Executor* executor) {
  const std::span<std::byte> bytes = region.bytes();
  VerbsRegion offered{.id = region.id(),
                      .address = reinterpret_cast<uint64_t>(bytes.data()),
                      .size_bytes = bytes.size(),
                      .chunk_bytes = VerbsChunkBytes(bytes.size())};
  std::vector<Job> jobs;
  for (const auto& rail : rails_) {
    for (size_t chunk = 0; chunk < offered.chunks(); ++chunk) {
      const std::span<std::byte> from = bytes.subspan(chunk * offered.chunk_bytes);
      const auto piece = from.first(std::min<size_t>(from.size(), offered.chunk_bytes));
      jobs.push_back({.device = rail.get(), .bytes = piece, .access = IBV_ACCESS_REMOTE_READ});
      jobs.push_back({.device = rail.get(),
                      .bytes = piece,
                      .access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE});
    }
  }
  {
    absl::MutexLock lock(&mu_);
    if (regions_.size() == kVerbsRegionsMax) {
      return absl::ResourceExhaustedError(
          fmt::format("rdma: {} regions are offered already", kVerbsRegionsMax));
    }
  }
  if (absl::Status made = Run(jobs, executor); !made.ok()) return made;
  absl::MutexLock lock(&mu_);
  for (size_t i = 0; i < jobs.size(); i += 2) {
    offered.keys.push_back({.read = jobs[i].mr->rkey, .write = jobs[i + 1].mr->rkey});
    mrs_.push_back(std::move(jobs[i].mr));
    mrs_.push_back(std::move(jobs[i + 1].mr));
  }
  regions_.push_back(std::move(offered));
  return absl::OkStatus();
}

absl::Status VerbsExports::Run(std::span<Job> jobs, Executor* executor) {
  absl::BlockingCounter left(static_cast<int>(jobs.size()));
  uint64_t total_bytes = 0;
  for (const Job& job : jobs) total_bytes += job.bytes.size();
  std::atomic<uint64_t> done_bytes{0};  // relaxed: for the log alone
  const bool is_large = jobs.size() > 2 * rails_.size();
  for (Job& job : jobs) {
    const auto run = [&, is_large, total_bytes] {
      job.Run();
      const uint64_t done =
          done_bytes.fetch_add(job.bytes.size(), std::memory_order_relaxed) +
          job.bytes.size();
      if (is_large) {
        Log(LogLevel::kInfo, fmt::format("rdma: registered {} of {} (memory is registered "
                                         "twice with each device)",
                                         FormatSize(done), FormatSize(total_bytes)));
      }
      left.DecrementCount();
    };
    if (executor == nullptr || !executor->Submit(run)) run();
  }
  left.Wait();
  for (const Job& job : jobs) {
    if (!job.status.ok()) return job.status;
  }
  return absl::OkStatus();
}

std::vector<VerbsRegion> VerbsExports::Offer(size_t rails) const {
  absl::MutexLock lock(&mu_);
  std::vector<VerbsRegion> offered = regions_;
  for (VerbsRegion& region : offered) region.keys.resize(rails * region.chunks());
  return offered;
}

}  // namespace kvasir
