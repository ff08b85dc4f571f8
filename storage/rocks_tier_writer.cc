#include "storage/rocks_tier_writer.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/limits.h"
#include "base/log.h"

namespace kvasir {
namespace {

void Warn(const absl::Status& status) {
  Log(LogLevel::kWarning, fmt::format("disk tier: {}", ToStd(status.message())));
}

// Of records of one key the newest stays.
void KeepNewest(std::vector<SegmentRecord>* records) {
  std::ranges::stable_sort(*records, [](const SegmentRecord& a, const SegmentRecord& b) {
    const int order = a.record.key.compare(b.record.key);
    return order != 0 ? order < 0 : a.record.generation > b.record.generation;
  });
  const auto rest = std::ranges::unique(
      *records, {}, [](const SegmentRecord& record) { return record.record.key; });
  records->erase(rest.begin(), rest.end());
}

}  // namespace

RocksTierWriter::RocksTierWriter(RocksTierState* state)
    : state_(state),
      carry_credit_bytes_(state->segment_bytes),
      carry_bytes_max_(state->segment_bytes) {}

absl::Status RocksTierWriter::Write(std::vector<SegmentRecord> records) {
  for (const SegmentRecord& record : records) {
    state_->RaiseGenerationMax(record.record.generation);
  }
  KeepNewest(&records);
  // Of one that is here already, the promise may be new.
  for (const SegmentRecord& record : records) {
    if (!record.durable) continue;
    absl::Status promised = Promise(record.record.key, record.record.generation);
    if (!promised.ok()) return promised;
  }
  KeepWanted(&records);
  if (records.empty()) return absl::OkStatus();
  std::vector<Victim> victims;
  Cargo cargo;
  absl::Status room = MakeRoom(records, &victims, &cargo);
  if (!room.ok()) return room;
  return Commit(std::move(records), std::move(cargo), std::move(victims));
}

absl::Status RocksTierWriter::Promise(std::string_view key, uint64_t generation) {
  const TierCatalog::Located located = state_->catalog.Locate(key, generation);
  if (located.segment == TierCatalog::kNoSegment || located.promised) {
    return absl::OkStatus();
  }
  MetaBatch batch;
  batch.Put(PromiseKey({.segment = located.segment, .key_hash = KeyHashOnDisk(key)}), "");
  absl::Status written = state_->db->WriteMeta(batch);
  if (written.ok()) state_->catalog.Promise(key, generation);
  return written;
}

absl::Status RocksTierWriter::Fit() {
  std::vector<Victim> victims;
  Cargo cargo;
  absl::Status room = MakeRoom({}, &victims, &cargo);
  if (!room.ok() || victims.empty()) return room;
  return Commit({}, std::move(cargo), std::move(victims));
}

void RocksTierWriter::Maintain() {
  std::vector<Victim> dead;
  for (uint64_t number : state_->segments.Dead()) dead.push_back({.number = number});
  if (!dead.empty()) Retire(dead);
  std::vector<Victim> victims;
  Cargo cargo;
  for (uint64_t number : state_->segments.ToRewrite()) {
    Victim victim{.number = number, .rewritten = true};
    const absl::Status planned = PlanVictim(&victim, &cargo);
    if (!planned.ok()) return Warn(planned);
    if (!victim.listed) {
      state_->segments.Fix(number);
      continue;
    }
    victims.push_back(std::move(victim));
  }
  if (victims.empty()) return;
  const absl::Status done = Commit({}, std::move(cargo), std::move(victims));
  if (!done.ok()) Warn(done);
}

void RocksTierWriter::KeepWanted(std::vector<SegmentRecord>* records) const {
  std::erase_if(*records, [this](const SegmentRecord& record) {
    return record.moved_from == 0 &&
           !state_->catalog.Wants(record.record.key, record.record.generation);
  });
}

absl::Status RocksTierWriter::MakeRoom(std::span<const SegmentRecord> records,
                                       std::vector<Victim>* victims, Cargo* cargo) {
  const uint64_t need =
      records.empty() ? 0 : EstimateSegments(records, state_->part_bytes_min()).bytes;
  carry_bytes_max_ = std::max(need, state_->segment_bytes);
  uint64_t used = state_->segments.used_bytes();
  uint64_t oldest = 0;
  while (used + need + cargo->bytes > state_->capacity_bytes) {
    const std::optional<uint64_t> next = state_->segments.OldestAfter(oldest);
    if (!next) {
      return absl::ResourceExhaustedError(fmt::format(
          "store: {} bytes exceed the budget {}", need, state_->capacity_bytes));
    }
    oldest = *next;
    const uint64_t file_bytes = state_->segments.Find(oldest)->file_bytes;
    carry_credit_bytes_ = std::min(carry_credit_bytes_ + file_bytes / kTierCarryDivisor,
                                   carry_bytes_max_);
    Victim victim{.number = oldest};
    if (absl::Status planned = PlanVictim(&victim, cargo); !planned.ok()) return planned;
    victims->push_back(std::move(victim));
    used -= file_bytes;
  }
  return absl::OkStatus();
}

absl::Status RocksTierWriter::PlanVictim(Victim* victim, Cargo* cargo) {
  absl::Status failed;
  const auto plan = [&](const ListingEntry& entry) {
    const DiskRecord& record = entry.record;
    const TierCatalog::Located located =
        state_->catalog.Locate(record.key, record.generation);
    if (located.segment != victim->number || !failed.ok()) return;
    const bool carried = victim->rewritten ||
                         (located.used && record.size_bytes <= carry_credit_bytes_ &&
                          cargo->bytes + record.size_bytes <= carry_bytes_max_);
    if (!carried) {
      victim->dropped.push_back(
          {.key = std::string(record.key), .generation = record.generation});
      return;
    }
    const absl::StatusOr<bool> added = Carry(victim->number, entry, cargo);
    if (!added.ok()) failed = added.status();
    if (!victim->rewritten) carry_credit_bytes_ -= record.size_bytes;
  };
  const absl::Status visited = VisitListing(*state_->db, victim->number, plan).status();
  if (absl::IsDataLoss(visited)) {
    Warn(visited);
    victim->listed = false;
  } else if (!visited.ok()) {
    return visited;
  }
  return failed;
}

absl::StatusOr<bool> RocksTierWriter::Carry(uint64_t segment, const ListingEntry& entry,
                                            Cargo* cargo) {
  const DiskRecord& listed = entry.record;
  rocksdb::PinnableSlice& value = cargo->values.emplace_back();
  absl::Status read = state_->db->Read(RecordKey(segment, listed.key), &value);
  absl::StatusOr<DecodedRecord> decoded = absl::DataLossError("not read");
  if (read.ok()) decoded = DecodeRecord(ToView(value));
  if (!read.ok() && !absl::IsDataLoss(read) && !absl::IsNotFound(read)) return read;
  if (!decoded.ok() || decoded->record.key != listed.key ||
      decoded->record.generation != listed.generation ||
      BlockChecksum(ChecksumSeed(listed.key), decoded->payload) != listed.checksum) {
    state_->Spoil(listed.key, listed.generation, segment);
    return false;
  }
  const bool promised =
      entry.durable || state_->catalog.Locate(listed.key, listed.generation).promised;
  const SegmentRecord record{.record = decoded->record,
                             .payload = decoded->payload,
                             .durable = promised,
                             .moved_from = segment};
  cargo->records.push_back(record);
  cargo->bytes += EstimateSegments({&record, 1}, state_->segment_bytes).bytes;
  return true;
}

absl::Status RocksTierWriter::Commit(std::vector<SegmentRecord> records, Cargo cargo,
                                     std::vector<Victim> victims) {
  records.insert(records.end(), cargo.records.begin(), cargo.records.end());
  if (!records.empty()) {
    if (absl::Status ingested = Ingest(&records); !ingested.ok()) return ingested;
    Place(records);
  }
  Retire(victims);
  return absl::OkStatus();
}

size_t RocksTierWriter::WriteHelpers() const {
  return state_->writing.executor == nullptr ? 0 : state_->writing.helpers_max;
}

uint64_t RocksTierWriter::PartBytes(std::span<const SegmentRecord> records) const {
  const uint64_t bytes = EstimateSegments(records, state_->segment_bytes).bytes;
  return std::clamp(bytes / (1 + WriteHelpers()),
                    state_->part_bytes_min(), state_->segment_bytes);
}

absl::Status RocksTierWriter::Ingest(std::vector<SegmentRecord>* records) {
  const uint64_t part_bytes = PartBytes(*records);
  const uint64_t first =
      state_->next_segment.fetch_add(EstimateSegments(*records, part_bytes).count);
  // Again, after the numbers are taken: a Delete that this does not see yet will see the
  // numbers, and mark its tombstone beyond them.
  KeepWanted(records);
  if (records->empty()) return absl::OkStatus();
  absl::StatusOr<std::vector<WrittenSegment>> written = WriteSegments(
      *state_->db,
      {.segment_bytes = part_bytes,
       .first_number = first,
       .generation_max = state_->generation_max.load(std::memory_order_relaxed),
       .parallel = state_->writing},
      *records);
  if (!written.ok()) return written.status();
  std::vector<std::string> paths;
  for (const WrittenSegment& segment : *written) paths.push_back(segment.path);
  absl::Status ingested = state_->db->Ingest(paths);
  if (!ingested.ok()) {
    RemoveSegmentFiles(*written);
    return ingested;
  }
  for (const WrittenSegment& segment : *written) {
    state_->segments.Add({.number = segment.number,
                          .file_bytes = segment.file_bytes,
                          .record_bytes = segment.record_bytes});
    state_->written_bytes.fetch_add(segment.file_bytes, std::memory_order_relaxed);
  }
  WriteMarks(*written);
  return absl::OkStatus();
}

void RocksTierWriter::WriteMarks(std::span<const WrittenSegment> written) {
  MetaBatch batch;
  for (const WrittenSegment& segment : written) {
    batch.Put(SegmentMarkKey(segment.number), EncodeSegmentMark(segment.mark));
  }
  // The blocks are on disk. A mark only lets a later recovery know if they get lost.
  if (absl::Status marked = state_->db->WriteMeta(batch); !marked.ok()) Warn(marked);
}

void RocksTierWriter::Place(std::span<const SegmentRecord> records) {
  for (const SegmentRecord& record : records) {
    if (record.segment == 0) continue;
    const TierCatalog::Placed placed =
        state_->catalog.Place({.record = record.record, .durable = record.durable},
                              record.segment);
    if (placed.live) {
      const DiskRecord& disk = record.record;
      state_->segments.AddLive(
          record.segment,
          RecordHeadBytes(disk.key.size(), disk.attributes.size()) + disk.size_bytes);
    }
    if (placed.gone.segment != TierCatalog::kNoSegment) {
      state_->segments.SubtractLive(placed.gone.segment, placed.gone.record_bytes);
    }
  }
}

void RocksTierWriter::Retire(std::span<const Victim> victims) {
  if (victims.empty()) return;
  std::vector<uint64_t> numbers;
  MetaBatch batch;
  for (const Victim& victim : victims) {
    DropBlocks(victim);
    numbers.push_back(victim.number);
    batch.Delete(SegmentMarkKey(victim.number));
    batch.DeleteRange(PromisesBegin(victim.number), PromisesBegin(victim.number + 1));
  }
  state_->PutState(&batch);
  // Marks first, and synced as the files' going is: a mark without its segment would be
  // counted as a loss. What fails here leaves segments that are dead, and Maintain comes
  // back to those.
  absl::Status dropped = state_->db->WriteMetaSynced(batch);
  if (dropped.ok()) dropped = state_->db->DropSegments(numbers);
  if (!dropped.ok()) return Warn(dropped);
  for (uint64_t number : numbers) state_->segments.Remove(number);
  PurgeTombstones();
}

void RocksTierWriter::DropBlocks(const Victim& victim) {
  for (const Victim::Block& block : victim.dropped) {
    CountGone(victim, state_->catalog.Drop(block.key, block.generation, victim.number));
  }
  if (victim.listed) return;
  for (const TierCatalog::Gone& gone : state_->catalog.DropSegment(victim.number)) {
    CountGone(victim, gone);
  }
}

void RocksTierWriter::CountGone(const Victim& victim, const TierCatalog::Gone& gone) {
  if (gone.segment == TierCatalog::kNoSegment) return;
  state_->segments.SubtractLive(victim.number, gone.record_bytes);
  state_->dropped_blocks.fetch_add(1, std::memory_order_relaxed);
  state_->dropped_bytes.fetch_add(gone.size_bytes, std::memory_order_relaxed);
}

void RocksTierWriter::PurgeTombstones() {
  const uint64_t oldest =
      state_->segments.OldestAfter(0).value_or(state_->next_segment.load());
  if (oldest <= kTierTombstoneLingerSegments) return;
  const uint64_t end = oldest - kTierTombstoneLingerSegments;
  if (state_->tombstone_mark_min.load(std::memory_order_relaxed) >= end) return;
  MetaBatch batch;
  batch.DeleteRange(TombstoneBegin(0), TombstoneBegin(end));
  // Before the write: a tombstone that is put meanwhile has a mark beyond `end`.
  state_->tombstone_mark_min.store(end, std::memory_order_relaxed);
  if (absl::Status purged = state_->db->WriteMeta(batch); !purged.ok()) Warn(purged);
}

}  // namespace kvasir
