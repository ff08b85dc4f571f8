#ifndef KVASIR_STORAGE_DISK_FORMAT_H_
#define KVASIR_STORAGE_DISK_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/block_info.h"

// What the disk tier writes, byte by byte: docs/disk_format.md tells it with an example.
// Numbers in values are little-endian; numbers in keys big-endian, so that they sort.
// Knows nothing of the database that keeps the bytes.
//
// Threads: functions without state.
namespace kvasir {

inline constexpr uint32_t kDiskFormatVersion = 1;

// KVASIR_FORMAT: one line with the version and a checksum of itself.
std::string EncodeFormatFile(uint32_t version);
// The version. DataLoss if the text is not what EncodeFormatFile makes.
absl::StatusOr<uint32_t> DecodeFormatFile(std::string_view text);

// Data keys: segments by number; in one, a listing, its records, and the listing again,
// because without it nobody can say what older blocks the segment had replaced.
std::string SegmentBegin(uint64_t segment);  // at or below each key of the segment
std::string SegmentEnd(uint64_t segment);    // above each of them
enum class ListingCopy : char { kFront = 0, kBack = 2 };
std::string ListingKey(uint64_t segment, ListingCopy copy, uint32_t chunk);
std::string RecordKey(uint64_t segment, std::string_view key);
std::optional<uint64_t> SegmentOfDataKey(std::string_view data_key);

// A record: a header, the key, the attributes, the payload.
struct DiskRecord {
  std::string_view key;
  uint64_t generation = 0;
  uint64_t size_bytes = 0;
  uint64_t checksum = 0;  // of the payload
  std::string_view attributes;
};
// Of the record without its payload.
size_t RecordHeadBytes(size_t key_bytes, size_t attributes_bytes);
// Appends all but the payload.
void AppendRecordHead(const DiskRecord& record, std::string* out);
struct DecodedRecord {
  DiskRecord record;  // points into the bytes
  std::span<const std::byte> payload;
};
// DataLoss if the head does not match its own checksum or the lengths do not add up. The
// payload is not verified.
absl::StatusOr<DecodedRecord> DecodeRecord(std::string_view bytes);

// A chunk of a segment's listing: some of its records, without payloads.
struct ListingHead {
  uint64_t segment = 0;
  uint32_t chunk = 0;
  uint32_t chunk_count = 0;
  uint32_t records = 0;         // in this chunk
  uint64_t generation_max = 0;  // that the tier knew when it wrote the segment
};
struct ListingEntry {
  DiskRecord record;
  bool durable = false;  // was acknowledged as durable, or is about to be
};
// Bytes that the entry takes in a chunk.
size_t ListingEntryBytes(const DiskRecord& record);
void AppendListingEntry(const ListingEntry& entry, std::string* out);
// The chunk of `head` and `entries`, padded so that it fills a database block by itself
// and recovery never reads payload.
std::string EncodeListingChunk(const ListingHead& head, std::string_view entries);
// Checks all of the chunk, then visits its entries, which point into `bytes`. DataLoss
// if anything is wrong; then nothing was visited.
absl::StatusOr<ListingHead> DecodeListingChunk(
    std::string_view bytes, absl::FunctionRef<void(const ListingEntry&)> visit);

// Metadata keys and values.
//
// A removal. Sorted by mark: segments from the mark on hold nothing that it hides.
struct DiskTombstone {
  uint64_t mark = 0;
  std::string_view key;
};
std::string TombstoneBegin(uint64_t mark);  // at or below keys of this mark and later
std::string TombstonesEnd();
std::string TombstoneKey(const DiskTombstone& tombstone);
std::optional<DiskTombstone> DecodeTombstoneKey(std::string_view meta_key);
// The mark of a segment: that it was taken in, and what is lost if it is not there.
std::string SegmentMarkKey(uint64_t segment);
std::string SegmentMarksBegin();
std::string SegmentMarksEnd();
std::optional<uint64_t> DecodeSegmentMarkKey(std::string_view meta_key);
struct SegmentMark {
  struct Block {
    uint64_t key_hash = 0;  // KeyHashOnDisk
    uint64_t generation = 0;
  };
  uint64_t durable_records = 0;  // acknowledged as durable
  std::vector<Block> blocks;     // all of its records: older ones must not replace them
};
uint64_t KeyHashOnDisk(std::string_view key);
// A block of the segment that was promised after the segment was written.
struct DiskPromise {
  uint64_t segment = 0;
  uint64_t key_hash = 0;  // KeyHashOnDisk
};
std::string PromisesBegin(uint64_t segment);  // at or below those of it and later ones
std::string PromisesEnd();
std::string PromiseKey(const DiskPromise& promise);
std::optional<DiskPromise> DecodePromiseKey(std::string_view meta_key);
std::string EncodeSegmentMark(const SegmentMark& mark);
std::optional<SegmentMark> DecodeSegmentMark(std::string_view value);
// One record whose value is a DiskState.
std::string StateKey();
struct DiskState {
  uint64_t generation_max = 0;
  uint64_t next_segment = 1;
};
std::string EncodeState(const DiskState& state);
std::optional<DiskState> DecodeState(std::string_view value);
std::string EncodeNumber(uint64_t number);
std::optional<uint64_t> DecodeNumber(std::string_view value);

}  // namespace kvasir

#endif  // KVASIR_STORAGE_DISK_FORMAT_H_
