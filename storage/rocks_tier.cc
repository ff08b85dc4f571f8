#include "storage/rocks_tier.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/parallel.h"
#include "storage/disk_format.h"
#include "storage/rocks_tier_recovery.h"
#include "storage/rocks_tier_state.h"
#include "storage/rocks_tier_writer.h"
#include "storage/tier_directory.h"

namespace kvasir {
namespace {

uint64_t SegmentBytes(const RocksTierOptions& options) {
  if (options.segment_bytes != 0) return options.segment_bytes;
  return std::clamp(options.capacity_bytes / kTierSegmentsPerBudget, kMinTierSegmentBytes,
                    kMaxTierSegmentBytes);
}

SegmentRecord ToSegmentRecord(const Tier::Record& record, bool durable) {
  KV_CHECK(record.info != nullptr && record.info->size_bytes == record.payload.size());
  return {.record = {.key = record.key,
                     .generation = record.generation,
                     .size_bytes = record.info->size_bytes,
                     .checksum = record.info->checksum,
                     .attributes = record.info->attributes},
          .payload = record.payload,
          .durable = durable};
}

std::vector<SegmentRecord> ToSegmentRecords(std::span<const Tier::Record> batch,
                                            bool durable) {
  std::vector<SegmentRecord> records;
  for (const Tier::Record& record : batch) {
    records.push_back(ToSegmentRecord(record, durable));
  }
  return records;
}

// Only where there is no database may ResourceExhausted say so.
absl::Status CannotTake(const absl::Status& status, const std::string& directory) {
  std::error_code error;
  const bool has_database =
      std::filesystem::exists(directory + "/db/CURRENT", error) || error;
  if (!absl::IsResourceExhausted(status) || !has_database) return status;
  return absl::UnavailableError(status.message());
}

// Copies and hashes in one pass.
bool CopyVerified(const Tier::Read& read, std::span<const std::byte> payload,
                  uint64_t checksum) {
  thread_local Checksummer checksummer;
  checksummer.Reset(ChecksumSeed(read.key));
  CopyAndUpdate(read.payload, payload, &checksummer);
  return checksummer.Finish() == checksum;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RocksTier>> RocksTier::Open(
    const RocksTierOptions& options,
    const std::function<void(uint64_t keys, uint64_t keys_total)>& progress) {
  KV_CHECK(options.capacity_bytes >= kMinTierBudgetBytes);
  absl::StatusOr<std::unique_ptr<TierDirectory>> directory =
      TierDirectory::Open(options.directory);
  if (!directory.ok()) return CannotTake(directory.status(), options.directory);
  absl::StatusOr<std::unique_ptr<RocksTierDb>> db =
      RocksTierDb::Open({.path = (*directory)->database(),
                         .staging = (*directory)->staging(),
                         .direct_reads = options.direct_reads,
                         .direct_writes = options.direct_writes,
                         .env = options.env});
  if (!db.ok()) return db.status();
  auto state = std::make_unique<RocksTierState>(
      *std::move(db),
      RocksTierState::Sizes{.capacity_bytes = options.capacity_bytes,
                            .segment_bytes = SegmentBytes(options)},
      ParallelOptions{.executor = options.readers,
                      .helpers_max = std::min(options.readers_max, kMaxTierReaders)},
      ParallelOptions{.executor = options.writers, .helpers_max = kMaxTierWriters - 1});
  const absl::Status recovered = RecoverRocksTier(state.get(), progress);
  if (!recovered.ok()) return recovered;
  std::unique_ptr<RocksTier> tier(
      new RocksTier(*std::move(directory), std::move(state)));
  if (absl::Status fits = tier->writer_->Fit(); !fits.ok()) {
    // Of a disk that takes no writes now; the next store makes room.
    Log(LogLevel::kWarning, fmt::format("disk tier: {}", ToStd(fits.message())));
  }
  return tier;
}

absl::StatusOr<std::string> RocksTier::SetAside(const std::string& directory) {
  return TierDirectory::SetAside(directory);
}

RocksTier::RocksTier(std::unique_ptr<TierDirectory> directory,
                     std::unique_ptr<RocksTierState> state)
    : directory_(std::move(directory)),
      state_(std::move(state)),
      writer_(std::make_unique<RocksTierWriter>(state_.get())) {}

RocksTier::~RocksTier() = default;

absl::Status RocksTier::Store(std::span<const Record> batch, Durability durability) {
  if (batch.empty()) return absl::OkStatus();
  Waiter waiter{.batch = batch, .durable = durability != Durability::kNone};
  waiter.bytes = EstimateSegments(ToSegmentRecords(batch, waiter.durable),
                                  state_->part_bytes_min())
                     .bytes;
  if (waiter.bytes > state_->capacity_bytes) {
    return absl::ResourceExhaustedError(
        fmt::format("store: {} blocks of {} bytes exceed the budget {}", batch.size(),
                    waiter.bytes, state_->capacity_bytes));
  }
  return Enqueue(&waiter);
}

absl::Status RocksTier::Promise(std::string_view key, uint64_t generation) {
  const PromisedBlock block{.key = key, .generation = generation};
  Waiter waiter{.promised = &block};
  return Enqueue(&waiter);
}

absl::Status RocksTier::Enqueue(Waiter* waiter) {
  std::vector<Waiter*> group;
  {
    absl::MutexLock lock(&mu_);
    if (waiters_.size() >= kMaxTierQueuedStores) {
      return absl::UnavailableError(
          fmt::format("store: {} callers wait for the disk already", waiters_.size()));
    }
    waiters_.push_back(waiter);
    const auto my_turn = [this, waiter]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return waiter->done || waiters_.front() == waiter;
    };
    mu_.Await(absl::Condition(&my_turn));
    if (waiter->done) return waiter->status;
    group = GroupLocked();
  }
  const absl::Status status = WriteGroup(group);
  absl::MutexLock lock(&mu_);
  for (Waiter* member : group) {
    if (member->promised == nullptr) member->status = status;
    member->done = true;
    waiters_.pop_front();
  }
  return waiter->status;
}

std::vector<RocksTier::Waiter*> RocksTier::GroupLocked() const {
  std::vector<Waiter*> group;
  uint64_t bytes = 0;
  for (Waiter* waiter : waiters_) {
    bytes += waiter->bytes;
    if (!group.empty() && bytes > state_->segment_bytes) break;
    group.push_back(waiter);
  }
  return group;
}

absl::Status RocksTier::WriteGroup(std::span<Waiter* const> group) {
  std::vector<SegmentRecord> records;
  for (Waiter* const waiter : group) {
    if (const PromisedBlock* const block = waiter->promised; block != nullptr) {
      waiter->status = writer_->Promise(block->key, block->generation);
      continue;
    }
    const std::vector<SegmentRecord> of_waiter =
        ToSegmentRecords(waiter->batch, waiter->durable);
    records.insert(records.end(), of_waiter.begin(), of_waiter.end());
  }
  absl::Status written;
  if (!records.empty()) written = writer_->Write(std::move(records));
  writer_->Maintain();
  return written;
}

bool RocksTier::WriterBusy() const {
  absl::MutexLock lock(&mu_);
  return !waiters_.empty();
}

absl::Status RocksTier::Delete(std::span<const Tombstone> batch) {
  MetaBatch meta;
  bool tidy = false;
  for (const Tombstone& tombstone : batch) {
    state_->RaiseGenerationMax(tombstone.generation);
    const TierCatalog::Gone gone =
        state_->catalog.Hide(tombstone.key, tombstone.generation);
    state_->removals.Add(tombstone.key, tombstone.generation);
    const bool was_live = gone.segment != TierCatalog::kNoSegment;
    if (was_live) state_->segments.SubtractLive(gone.segment, gone.record_bytes);
    tidy = tidy || was_live;
    // Hidden in memory before the queue is looked at: a Store that is under way may have
    // the block on disk already; one that begins later will not write it.
    if (was_live || WriterBusy()) {
      state_->PutTombstone(&meta, tombstone.key, tombstone.generation);
    }
  }
  state_->removals.Trim(&state_->catalog);
  state_->PutState(&meta);
  if (absl::Status written = state_->db->WriteMeta(meta); !written.ok()) return written;
  if (!tidy || !state_->segments.WantsMaintenance()) return absl::OkStatus();
  Waiter waiter;
  return Enqueue(&waiter);
}

void RocksTier::Load(std::span<Read> batch) {
  ParallelFor(state_->reading, batch.size(),
              [&](size_t i) { batch[i].status = LoadOne(batch[i]); });
}

absl::Status RocksTier::LoadOne(const Read& read) {
  for (int i = 0; i < kMaxTierLoadRetries; ++i) {
    const TierCatalog::Located located =
        state_->catalog.Locate(read.key, read.generation);
    if (located.segment == TierCatalog::kNoSegment) break;
    if (located.size_bytes != read.payload.size()) {
      return absl::InvalidArgumentError(fmt::format("load: {} bytes asked, {} stored",
                                                    read.payload.size(),
                                                    located.size_bytes));
    }
    absl::Status loaded = LoadFrom(read, located.segment, located.checksum);
    if (absl::IsAborted(loaded)) continue;
    if (loaded.ok()) state_->catalog.Use(read.key, read.generation);
    return loaded;
  }
  return absl::NotFoundError(
      fmt::format("load: generation {} is not here", read.generation));
}

absl::Status RocksTier::LoadFrom(const Read& read, uint64_t segment, uint64_t checksum) {
  rocksdb::PinnableSlice value;
  absl::Status got = state_->db->Read(RecordKey(segment, read.key), &value);
  if (absl::IsNotFound(got)) {
    const uint64_t now = state_->catalog.Locate(read.key, read.generation).segment;
    if (now != segment) return absl::AbortedError("moved");
    got = absl::DataLossError("load: the record is not in its segment");
  }
  if (got.ok()) {
    const absl::StatusOr<DecodedRecord> decoded = DecodeRecord(ToView(value));
    got = decoded.status();
    if (got.ok() && (decoded->record.key != read.key ||
                     decoded->record.generation != read.generation ||
                     decoded->payload.size() != read.payload.size() ||
                     !CopyVerified(read, decoded->payload, checksum))) {
      got = absl::DataLossError(fmt::format(
          "load: {} bytes do not match their checksum", read.payload.size()));
    }
  }
  if (absl::IsDataLoss(got)) state_->Spoil(read.key, read.generation, segment);
  return got;
}

std::optional<TierBlock> RocksTier::Find(std::string_view key) const {
  return state_->catalog.Find(key);
}

std::vector<Tier::Listed> RocksTier::List(std::string_view prefix, std::string_view after,
                                          size_t limit) const {
  return state_->catalog.List(prefix, after, limit);
}

uint64_t RocksTier::generation_max() const {
  return state_->generation_max.load(std::memory_order_relaxed);
}

Tier::Stats RocksTier::stats() const {
  return {.blocks = state_->catalog.blocks(),
          .block_bytes = state_->catalog.block_bytes(),
          .used_bytes = state_->segments.used_bytes(),
          .capacity_bytes = state_->capacity_bytes,
          .index_bytes = state_->catalog.memory_bytes(),
          .dropped_blocks = state_->dropped_blocks.load(std::memory_order_relaxed),
          .dropped_bytes = state_->dropped_bytes.load(std::memory_order_relaxed),
          .corrupt_blocks = state_->corrupt_blocks.load(std::memory_order_relaxed),
          .written_bytes = state_->written_bytes.load(std::memory_order_relaxed),
          .recovered_blocks = state_->recovered_blocks.load(std::memory_order_relaxed),
          .lost_blocks = state_->lost_blocks.load(std::memory_order_relaxed)};
}

}  // namespace kvasir
