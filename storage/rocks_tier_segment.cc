#include "storage/rocks_tier_segment.h"

#include <fmt/core.h>
#include <rocksdb/sst_file_writer.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/count_text.h"
#include "base/limits.h"

namespace kvasir {
namespace {

// Beyond the records, in one file: padding of two chunks, properties, footer.
constexpr uint64_t kSegmentFixedBytes = 2 * kTierListingChunkBytesMin + 2 * kKiB;
// Beyond head and payload, a record: its data key and lengths, and an entry in the
// file's index with two keys at most.
constexpr uint64_t kRecordExtraBytes = 64;

uint64_t RecordBytes(const SegmentRecord& record) {
  const DiskRecord& disk = record.record;
  return RecordHeadBytes(disk.key.size(), disk.attributes.size()) + record.payload.size();
}

uint64_t BytesOf(const SegmentRecord& record) {
  return RecordBytes(record) + 2 * ListingEntryBytes(record.record) +
         2 * record.record.key.size() + kRecordExtraBytes;
}

// The listing of `records`, cut into chunks.
std::vector<std::string> EncodeListing(ListingHead head,
                                       std::span<const SegmentRecord> records) {
  std::vector<std::pair<std::string, uint32_t>> parts(1);
  for (const SegmentRecord& record : records) {
    if (parts.back().first.size() >= kTierListingChunkBytes) parts.emplace_back();
    auto& [entries, count] = parts.back();
    AppendListingEntry({.record = record.record, .durable = record.durable}, &entries);
    ++count;
  }
  head.chunk_count = static_cast<uint32_t>(parts.size());
  std::vector<std::string> chunks;
  for (const auto& [entries, count] : parts) {
    head.chunk = static_cast<uint32_t>(chunks.size());
    head.records = count;
    chunks.push_back(EncodeListingChunk(head, entries));
  }
  return chunks;
}

rocksdb::Status PutListing(rocksdb::SstFileWriter* writer, uint64_t segment,
                           ListingCopy copy, std::span<const std::string> chunks) {
  rocksdb::Status status;
  for (uint32_t i = 0; status.ok() && i < chunks.size(); ++i) {
    status = writer->Put(ListingKey(segment, copy, i), chunks[i]);
  }
  return status;
}

// One file. RocksDB copies what it is given, so one buffer serves all records.
rocksdb::Status WriteFile(const RocksTierDb& db, const ListingHead& head,
                          std::span<const SegmentRecord> records,
                          WrittenSegment* written) {
  rocksdb::SstFileWriter writer(db.segment_env_options(), db.segment_options(), nullptr,
                                /*invalidate_page_cache=*/false);
  rocksdb::Status status = writer.Open(written->path);
  const std::vector<std::string> chunks = EncodeListing(head, records);
  if (status.ok()) status = PutListing(&writer, head.segment, ListingCopy::kFront, chunks);
  std::string value;
  for (const SegmentRecord& record : records) {
    if (!status.ok()) break;
    value.clear();
    AppendRecordHead(record.record, &value);
    value.append(reinterpret_cast<const char*>(record.payload.data()),
                 record.payload.size());
    status = writer.Put(RecordKey(head.segment, record.record.key), value);
  }
  if (status.ok()) status = PutListing(&writer, head.segment, ListingCopy::kBack, chunks);
  if (!status.ok()) return status;
  rocksdb::ExternalSstFileInfo info;
  status = writer.Finish(&info);
  written->file_bytes = info.file_size;
  return status;
}

absl::StatusOr<ListingHead> ReadChunk(
    const RocksTierDb& db, const ListingHead& where, ListingCopy copy,
    absl::FunctionRef<void(const ListingEntry&)> visit) {
  rocksdb::PinnableSlice value;
  const absl::Status status =
      db.Read(ListingKey(where.segment, copy, where.chunk), &value);
  if (absl::IsNotFound(status)) return absl::DataLossError("read listing: no such chunk");
  if (!status.ok()) return status;
  absl::StatusOr<ListingHead> head = DecodeListingChunk(ToView(value), visit);
  if (head.ok() && (head->segment != where.segment || head->chunk != where.chunk)) {
    return absl::DataLossError("read listing: a chunk of another place");
  }
  return head;
}

// Books the records on the segment that they go into.
void Assign(std::span<SegmentRecord> records, WrittenSegment* segment) {
  for (SegmentRecord& record : records) {
    record.segment = segment->number;
    segment->record_bytes += RecordBytes(record);
    segment->mark.durable_records += record.durable;
    segment->mark.blocks.push_back({.key_hash = KeyHashOnDisk(record.record.key),
                                    .generation = record.record.generation});
  }
}

// As many of the records, from the front, as one segment takes.
size_t TakeSegment(std::span<const SegmentRecord> records, uint64_t segment_bytes) {
  uint64_t bytes = 0;
  size_t count = 0;
  while (count < records.size() && bytes < segment_bytes) {
    bytes += BytesOf(records[count++]);
  }
  return count;
}

}  // namespace

SegmentEstimate EstimateSegments(std::span<const SegmentRecord> records,
                                 uint64_t segment_bytes) {
  uint64_t bytes = 0;
  for (const SegmentRecord& record : records) bytes += BytesOf(record);
  const uint64_t count = bytes / segment_bytes + 1;
  return {.bytes = bytes + count * kSegmentFixedBytes, .count = count};
}

absl::StatusOr<std::vector<WrittenSegment>> WriteSegments(
    const RocksTierDb& db, const SegmentPlan& plan, std::span<SegmentRecord> records) {
  KV_CHECK(!records.empty());
  std::ranges::sort(records, {}, [](const SegmentRecord& r) { return r.record.key; });
  std::vector<std::span<SegmentRecord>> parts;
  for (std::span<SegmentRecord> rest = records; !rest.empty();) {
    parts.push_back(rest.first(TakeSegment(rest, plan.segment_bytes)));
    rest = rest.subspan(parts.back().size());
  }
  std::vector<WrittenSegment> written(parts.size());
  std::vector<rocksdb::Status> statuses(parts.size());
  ParallelFor(plan.parallel, parts.size(), [&](size_t i) {
    written[i].number = plan.first_number + i;
    written[i].path = fmt::format("{}/{}.sst", db.staging(), written[i].number);
    Assign(parts[i], &written[i]);
    statuses[i] = WriteFile(
        db, {.segment = written[i].number, .generation_max = plan.generation_max},
        parts[i], &written[i]);
  });
  for (size_t i = 0; i < parts.size(); ++i) {
    if (statuses[i].ok()) continue;
    RemoveSegmentFiles(written);
    return FromRocks(statuses[i],
                     fmt::format("write segment of {}",
                                 CountText(parts[i].size(), "record")));
  }
  return written;
}

void RemoveSegmentFiles(std::span<const WrittenSegment> segments) {
  for (const WrittenSegment& segment : segments) {
    // What stays is removed when the directory is opened next.
    std::error_code ignored;
    std::filesystem::remove(segment.path, ignored);
  }
}

absl::StatusOr<ListingHead> VisitListing(
    const RocksTierDb& db, uint64_t segment,
    absl::FunctionRef<void(const ListingEntry&)> visit) {
  ListingHead head{.segment = segment, .chunk_count = 1};
  for (; head.chunk < head.chunk_count; ++head.chunk) {
    absl::StatusOr<ListingHead> read;
    for (ListingCopy copy : {ListingCopy::kFront, ListingCopy::kBack}) {
      read = ReadChunk(db, {.segment = segment, .chunk = head.chunk}, copy, visit);
      if (!absl::IsDataLoss(read.status())) break;
    }
    if (!read.ok()) return read.status();
    head = *read;
  }
  return head;
}

}  // namespace kvasir
