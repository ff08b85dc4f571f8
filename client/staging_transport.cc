#include "client/staging_transport.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace kvasir {
namespace {

class StagedRegion final : public MemoryRegion {
 public:
  StagedRegion(std::unique_ptr<MemoryRegion> inner, RegisteredMemory* registered)
      : inner_(std::move(inner)), registered_(registered) {
    registered_->Add(inner_->bytes());
  }
  ~StagedRegion() override { registered_->Remove(inner_->bytes()); }
  std::span<std::byte> bytes() const override { return inner_->bytes(); }

 private:
  const std::unique_ptr<MemoryRegion> inner_;
  RegisteredMemory* const registered_;
};

// Copies `buffer` over the slices, or the slices into it.
void Scatter(std::span<const std::span<std::byte>> slices, const std::byte* buffer) {
  for (const std::span<std::byte> slice : slices) {
    std::memcpy(slice.data(), buffer, slice.size());
    buffer += slice.size();
  }
}

void Gather(std::span<const std::span<std::byte>> slices, std::byte* buffer) {
  for (const std::span<std::byte> slice : slices) {
    std::memcpy(buffer, slice.data(), slice.size());
    buffer += slice.size();
  }
}

class StagingLane final : public Lane {
 public:
  StagingLane(std::unique_ptr<Lane> inner, const RegisteredMemory* registered,
              StagingPool* gets, StagingPool* puts)
      : inner_(std::move(inner)), registered_(registered), gets_(gets), puts_(puts) {}

  bool usable() const override { return inner_->usable(); }
  bool carries_messages() const override { return inner_->carries_messages(); }
  absl::Status Send(std::string_view request) override { return inner_->Send(request); }
  absl::StatusOr<std::optional<std::string_view>> Receive(Instant until) override {
    return inner_->Receive(until);
  }

  void Run(std::span<Transfer> batch, Instant deadline) override {
    staged_.clear();
    for (size_t i = 0; i < batch.size(); ++i) {
      if (NeedsStaging(batch[i])) staged_.push_back(i);
    }
    if (staged_.empty()) return inner_->Run(batch, deadline);
    RunDirect(batch, deadline);
    for (size_t from = 0; from < staged_.size();) from = RunRound(batch, from, deadline);
  }

 private:
  bool NeedsStaging(const Transfer& transfer) const {
    uint64_t size = 0;
    for (const std::span<std::byte> slice : transfer.local) size += slice.size();
    // Slices that do not add up are for the lane to refuse.
    if (size != transfer.token.extent.size_bytes) return false;
    return !std::all_of(transfer.local.begin(), transfer.local.end(),
                        [this](std::span<std::byte> slice) {
                          return registered_->Covers(slice);
                        });
  }

  // Moves those that need no staging, together.
  void RunDirect(std::span<Transfer> batch, Instant deadline) {
    round_.clear();
    round_keys_.clear();
    for (size_t i = 0, s = 0; i < batch.size(); ++i) {
      if (s < staged_.size() && staged_[s] == i) {
        ++s;
      } else {
        AddToRound(batch, i, batch[i].local);
      }
    }
    RunAndReport(batch, deadline);
  }

  // Moves as many of staged_, from position `from` on, as fit into one buffer. Returns
  // the position after them.
  size_t RunRound(std::span<Transfer> batch, size_t from, Instant deadline) {
    Transfer& first = batch[staged_[from]];
    const bool reading = first.token.access == Access::kRead;
    StagingPool* const pool = reading ? gets_ : puts_;
    absl::StatusOr<StagingPool::Buffer> buffer =
        pool->Take(first.token.extent.size_bytes, deadline);
    if (!buffer.ok()) {
      // Nothing was moved, so the lane stays in order.
      first.status = absl::IsInvalidArgument(buffer.status())
                         ? absl::ResourceExhaustedError(buffer.status().message())
                         : buffer.status();
      return from + 1;
    }
    round_.clear();
    round_keys_.clear();
    round_slices_.clear();
    round_slices_.reserve(staged_.size());  // Transfers point into it.
    std::span<std::byte> room = buffer->bytes();
    size_t next = from;
    for (; next < staged_.size(); ++next) {
      Transfer& transfer = batch[staged_[next]];
      const uint64_t size = transfer.token.extent.size_bytes;
      if (size > room.size()) break;
      if (!reading) Gather(transfer.local, room.data());
      round_slices_.push_back(room.first(size));
      AddToRound(batch, staged_[next], std::span(&round_slices_.back(), 1));
      room = room.subspan(size);
    }
    RunAndReport(batch, deadline);
    for (size_t i = 0; i < round_.size(); ++i) {
      const Transfer& transfer = batch[round_keys_[i]];
      if (!transfer.status.ok()) continue;
      if (reading) Scatter(transfer.local, round_slices_[i].data());
      pool->CountStaged(round_slices_[i].size());
    }
    return next;
  }

  void AddToRound(std::span<Transfer> batch, size_t index,
                  std::span<const std::span<std::byte>> local) {
    Transfer& transfer = round_.emplace_back();
    transfer.token = std::move(batch[index].token);
    transfer.local = local;
    transfer.want_checksum = batch[index].want_checksum;
    transfer.checksum_seed = batch[index].checksum_seed;
    round_keys_.push_back(index);
  }

  void RunAndReport(std::span<Transfer> batch, Instant deadline) {
    if (round_.empty()) return;
    inner_->Run(round_, deadline);
    for (size_t i = 0; i < round_.size(); ++i) {
      Transfer& transfer = batch[round_keys_[i]];
      transfer.token = std::move(round_[i].token);
      transfer.checksum = round_[i].checksum;
      transfer.status = std::move(round_[i].status);
    }
  }

  const std::unique_ptr<Lane> inner_;
  const RegisteredMemory* const registered_;
  StagingPool* const gets_;
  StagingPool* const puts_;
  // Of the batch under way.
  std::vector<size_t> staged_;  // positions of those that need staging
  std::vector<Transfer> round_;
  std::vector<size_t> round_keys_;
  std::vector<std::span<std::byte>> round_slices_;
};

}  // namespace

StagingTransport::StagingTransport(std::unique_ptr<ClientTransport> inner,
                                   const StagingPool::Options& options, const Clock* clock)
    : inner_(std::move(inner)),
      gets_(options, inner_.get(), clock),
      puts_(options, inner_.get(), clock) {}

StagingTransport::~StagingTransport() = default;

absl::StatusOr<std::unique_ptr<MemoryRegion>> StagingTransport::Register(
    std::span<std::byte> memory) {
  absl::StatusOr<std::unique_ptr<MemoryRegion>> region = inner_->Register(memory);
  if (!region.ok()) return region.status();
  return std::make_unique<StagedRegion>(*std::move(region), &registered_);
}

absl::StatusOr<std::unique_ptr<Lane>> StagingTransport::Connect(Rendezvous rendezvous,
                                                                Instant deadline) {
  absl::StatusOr<std::unique_ptr<Lane>> lane = inner_->Connect(rendezvous, deadline);
  if (!lane.ok()) return lane.status();
  return std::make_unique<StagingLane>(*std::move(lane), &registered_, &gets_, &puts_);
}

}  // namespace kvasir
