#include "storage/disk_format.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <concepts>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/limits.h"

namespace kvasir {
namespace {

static_assert(std::endian::native == std::endian::little,
              "values are written as they lie in memory");

constexpr uint32_t kRecordMagic = 0x3142564b;   // "KVB1"
constexpr uint32_t kListingMagic = 0x314c564b;  // "KVL1"
constexpr uint64_t kHeadSeed = 0x6b76617369720001;

// Prefixes of metadata keys.
constexpr char kSegmentMark = 'm';
constexpr char kPromise = 'p';
constexpr char kState = 's';
constexpr char kTombstone = 't';

// Follows a segment's number in keys of its records; see ListingCopy for the others.
constexpr char kRecords = 1;

struct RecordHead {
  uint32_t magic;
  uint16_t version;
  uint16_t tenant;  // 0: there is one tenant
  uint64_t generation;
  uint64_t size_bytes;
  uint64_t checksum;
  uint16_t key_bytes;
  uint16_t attributes_bytes;
  uint32_t head_checksum;  // of this with 0 here, the key and the attributes
};
static_assert(sizeof(RecordHead) == 40);

struct ChunkHead {
  uint32_t magic;
  uint32_t version;
  uint64_t segment;
  uint32_t chunk;
  uint32_t chunk_count;
  uint32_t records;
  uint32_t entries_bytes;
  uint64_t generation_max;
  uint64_t checksum;  // of this with 0 here, and the entries
};
static_assert(sizeof(ChunkHead) == 48);

struct EntryHead {
  uint64_t generation;
  uint64_t size_bytes;
  uint64_t checksum;
  uint16_t key_bytes;
  uint16_t attributes_bytes;
  uint32_t durable;
};
static_assert(sizeof(EntryHead) == 32);

template <typename T>
void AppendStruct(const T& value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <typename T>
T ReadStruct(std::string_view bytes) {
  KV_CHECK(bytes.size() >= sizeof(T));
  T value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

void AppendBigEndian(std::integral auto number, std::string* out) {
  for (int shift = 8 * sizeof(number) - 8; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(number >> shift));
  }
}

uint64_t ReadBigEndian64(std::string_view bytes) {
  uint64_t number = 0;
  for (size_t i = 0; i < sizeof(number); ++i) {
    number = number << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return number;
}

uint32_t HeadChecksum(RecordHead head, std::string_view key_and_attributes) {
  head.head_checksum = 0;
  const uint64_t of_head = BlockChecksum(kHeadSeed, std::as_bytes(std::span(&head, 1)));
  return static_cast<uint32_t>(BlockChecksum(of_head, AsBytes(key_and_attributes)));
}

uint64_t ChunkChecksum(ChunkHead head, std::string_view entries) {
  head.checksum = 0;
  const uint64_t of_head = BlockChecksum(kHeadSeed, std::as_bytes(std::span(&head, 1)));
  return BlockChecksum(of_head, AsBytes(entries));
}

absl::Status NotARecord(std::string_view why, size_t bytes) {
  return absl::DataLossError(fmt::format("decode record: {} in {} bytes", why, bytes));
}

absl::Status NotAChunk(std::string_view why, size_t bytes) {
  return absl::DataLossError(fmt::format("decode listing: {} in {} bytes", why, bytes));
}

// One entry at the front of `entries`, which then begins after it.
std::optional<ListingEntry> TakeEntry(std::string_view* entries) {
  if (entries->size() < sizeof(EntryHead)) return std::nullopt;
  const auto head = ReadStruct<EntryHead>(*entries);
  const size_t text_bytes = size_t{head.key_bytes} + head.attributes_bytes;
  if (entries->size() < sizeof(head) + text_bytes || head.key_bytes > kMaxKeyBytes ||
      head.attributes_bytes > kMaxAttributesBytes) {
    return std::nullopt;
  }
  const std::string_view text = entries->substr(sizeof(head), text_bytes);
  entries->remove_prefix(sizeof(head) + text_bytes);
  return ListingEntry{.record = {.key = text.substr(0, head.key_bytes),
                                 .generation = head.generation,
                                 .size_bytes = head.size_bytes,
                                 .checksum = head.checksum,
                                 .attributes = text.substr(head.key_bytes)},
                      .durable = head.durable != 0};
}

std::string FormatLine(uint32_t version) {
  return fmt::format("kvasir disk tier, format {}", version);
}

std::string WithNumber(char prefix, uint64_t number) {
  std::string key(1, prefix);
  AppendBigEndian(number, &key);
  return key;
}

}  // namespace

std::string EncodeFormatFile(uint32_t version) {
  const std::string line = FormatLine(version);
  return fmt::format("{}, {:016x}\n", line, BlockChecksum(kHeadSeed, AsBytes(line)));
}

absl::StatusOr<uint32_t> DecodeFormatFile(std::string_view text) {
  const std::string prefix = "kvasir disk tier, format ";
  uint32_t version = 0;
  if (text.starts_with(prefix)) {
    std::from_chars(text.data() + prefix.size(), text.data() + text.size(), version);
    if (text == EncodeFormatFile(version)) return version;
  }
  return absl::DataLossError(fmt::format(
      "decode format: {} bytes are not a format line and its checksum", text.size()));
}

std::string SegmentBegin(uint64_t segment) {
  std::string key;
  AppendBigEndian(segment, &key);
  return key;
}

std::string SegmentEnd(uint64_t segment) { return SegmentBegin(segment + 1); }

std::string ListingKey(uint64_t segment, ListingCopy copy, uint32_t chunk) {
  std::string key = SegmentBegin(segment);
  key.push_back(static_cast<char>(copy));
  AppendBigEndian(chunk, &key);
  return key;
}

std::string RecordKey(uint64_t segment, std::string_view key) {
  std::string data_key = SegmentBegin(segment);
  data_key.push_back(kRecords);
  data_key.append(key);
  return data_key;
}

std::optional<uint64_t> SegmentOfDataKey(std::string_view data_key) {
  if (data_key.size() < sizeof(uint64_t)) return std::nullopt;
  return ReadBigEndian64(data_key);
}

size_t RecordHeadBytes(size_t key_bytes, size_t attributes_bytes) {
  return sizeof(RecordHead) + key_bytes + attributes_bytes;
}

void AppendRecordHead(const DiskRecord& record, std::string* out) {
  KV_CHECK(record.key.size() <= kMaxKeyBytes);
  KV_CHECK(record.attributes.size() <= kMaxAttributesBytes);
  RecordHead head = {.magic = kRecordMagic,
                     .version = kDiskFormatVersion,
                     .tenant = 0,
                     .generation = record.generation,
                     .size_bytes = record.size_bytes,
                     .checksum = record.checksum,
                     .key_bytes = static_cast<uint16_t>(record.key.size()),
                     .attributes_bytes = static_cast<uint16_t>(record.attributes.size()),
                     .head_checksum = 0};
  const size_t begin = out->size();
  AppendStruct(head, out);
  out->append(record.key);
  out->append(record.attributes);
  head.head_checksum =
      HeadChecksum(head, std::string_view(*out).substr(begin + sizeof(head)));
  std::memcpy(out->data() + begin, &head, sizeof(head));
}

absl::StatusOr<DecodedRecord> DecodeRecord(std::string_view bytes) {
  if (bytes.size() < sizeof(RecordHead)) return NotARecord("no head", bytes.size());
  const auto head = ReadStruct<RecordHead>(bytes);
  if (head.magic != kRecordMagic) return NotARecord("wrong magic", bytes.size());
  if (head.version != kDiskFormatVersion) return NotARecord("wrong version", bytes.size());
  const size_t text_bytes = size_t{head.key_bytes} + head.attributes_bytes;
  const std::string_view rest = bytes.substr(sizeof(head));
  if (rest.size() < text_bytes || rest.size() - text_bytes != head.size_bytes) {
    return NotARecord("wrong lengths", bytes.size());
  }
  const std::string_view text = rest.substr(0, text_bytes);
  if (HeadChecksum(head, text) != head.head_checksum) {
    return NotARecord("wrong checksum of the head", bytes.size());
  }
  return DecodedRecord{.record = {.key = text.substr(0, head.key_bytes),
                                  .generation = head.generation,
                                  .size_bytes = head.size_bytes,
                                  .checksum = head.checksum,
                                  .attributes = text.substr(head.key_bytes)},
                       .payload = AsBytes(rest.substr(text_bytes))};
}

size_t ListingEntryBytes(const DiskRecord& record) {
  return sizeof(EntryHead) + record.key.size() + record.attributes.size();
}

void AppendListingEntry(const ListingEntry& entry, std::string* out) {
  const DiskRecord& record = entry.record;
  AppendStruct(
      EntryHead{.generation = record.generation,
                .size_bytes = record.size_bytes,
                .checksum = record.checksum,
                .key_bytes = static_cast<uint16_t>(record.key.size()),
                .attributes_bytes = static_cast<uint16_t>(record.attributes.size()),
                .durable = entry.durable},
      out);
  out->append(record.key);
  out->append(record.attributes);
}

std::string EncodeListingChunk(const ListingHead& head, std::string_view entries) {
  ChunkHead chunk = {.magic = kListingMagic,
                     .version = kDiskFormatVersion,
                     .segment = head.segment,
                     .chunk = head.chunk,
                     .chunk_count = head.chunk_count,
                     .records = head.records,
                     .entries_bytes = static_cast<uint32_t>(entries.size()),
                     .generation_max = head.generation_max,
                     .checksum = 0};
  chunk.checksum = ChunkChecksum(chunk, entries);
  std::string bytes;
  bytes.reserve(std::max(sizeof(chunk) + entries.size(), kTierListingChunkBytesMin));
  AppendStruct(chunk, &bytes);
  bytes.append(entries);
  bytes.resize(std::max(bytes.size(), kTierListingChunkBytesMin));
  return bytes;
}

absl::StatusOr<ListingHead> DecodeListingChunk(
    std::string_view bytes, absl::FunctionRef<void(const ListingEntry&)> visit) {
  if (bytes.size() < sizeof(ChunkHead)) return NotAChunk("no head", bytes.size());
  const auto head = ReadStruct<ChunkHead>(bytes);
  if (head.magic != kListingMagic) return NotAChunk("wrong magic", bytes.size());
  if (head.version != kDiskFormatVersion) return NotAChunk("wrong version", bytes.size());
  if (head.entries_bytes > bytes.size() - sizeof(head)) {
    return NotAChunk("wrong lengths", bytes.size());
  }
  const std::string_view entries = bytes.substr(sizeof(head), head.entries_bytes);
  if (ChunkChecksum(head, entries) != head.checksum) {
    return NotAChunk("wrong checksum", bytes.size());
  }
  uint32_t records = 0;
  for (std::string_view rest = entries; !rest.empty(); ++records) {
    if (!TakeEntry(&rest)) return NotAChunk("an entry beyond the end", bytes.size());
  }
  if (records != head.records) return NotAChunk("wrong count", bytes.size());
  for (std::string_view rest = entries; !rest.empty();) visit(*TakeEntry(&rest));
  return ListingHead{.segment = head.segment,
                     .chunk = head.chunk,
                     .chunk_count = head.chunk_count,
                     .records = head.records,
                     .generation_max = head.generation_max};
}

std::string TombstoneBegin(uint64_t mark) { return WithNumber(kTombstone, mark); }

std::string TombstonesEnd() { return std::string(1, kTombstone + 1); }

std::string TombstoneKey(const DiskTombstone& tombstone) {
  return TombstoneBegin(tombstone.mark).append(tombstone.key);
}

std::optional<DiskTombstone> DecodeTombstoneKey(std::string_view meta_key) {
  if (meta_key.size() < 1 + sizeof(uint64_t) || meta_key[0] != kTombstone) {
    return std::nullopt;
  }
  meta_key.remove_prefix(1);
  return DiskTombstone{.mark = ReadBigEndian64(meta_key),
                       .key = meta_key.substr(sizeof(uint64_t))};
}

std::string SegmentMarkKey(uint64_t segment) { return WithNumber(kSegmentMark, segment); }

std::string SegmentMarksBegin() { return std::string(1, kSegmentMark); }

std::string SegmentMarksEnd() { return std::string(1, kSegmentMark + 1); }

std::optional<uint64_t> DecodeSegmentMarkKey(std::string_view meta_key) {
  if (meta_key.size() != 1 + sizeof(uint64_t) || meta_key[0] != kSegmentMark) {
    return std::nullopt;
  }
  return ReadBigEndian64(meta_key.substr(1));
}

uint64_t KeyHashOnDisk(std::string_view key) { return ChecksumSeed(key); }

std::string PromisesBegin(uint64_t segment) { return WithNumber(kPromise, segment); }

std::string PromisesEnd() { return std::string(1, kPromise + 1); }

std::string PromiseKey(const DiskPromise& promise) {
  std::string key = PromisesBegin(promise.segment);
  AppendBigEndian(promise.key_hash, &key);
  return key;
}

std::optional<DiskPromise> DecodePromiseKey(std::string_view meta_key) {
  if (meta_key.size() != 1 + 2 * sizeof(uint64_t) || meta_key[0] != kPromise) {
    return std::nullopt;
  }
  meta_key.remove_prefix(1);
  return DiskPromise{.segment = ReadBigEndian64(meta_key),
                     .key_hash = ReadBigEndian64(meta_key.substr(sizeof(uint64_t)))};
}

std::string EncodeSegmentMark(const SegmentMark& mark) {
  std::string value;
  value.reserve(sizeof(uint64_t) + mark.blocks.size() * sizeof(SegmentMark::Block));
  AppendStruct(mark.durable_records, &value);
  for (const SegmentMark::Block& block : mark.blocks) AppendStruct(block, &value);
  return value;
}

std::optional<SegmentMark> DecodeSegmentMark(std::string_view value) {
  constexpr size_t kBlockBytes = sizeof(SegmentMark::Block);
  if (value.size() % kBlockBytes != sizeof(uint64_t)) return std::nullopt;
  SegmentMark mark{.durable_records = ReadStruct<uint64_t>(value)};
  for (value.remove_prefix(sizeof(uint64_t)); !value.empty();
       value.remove_prefix(kBlockBytes)) {
    mark.blocks.push_back(ReadStruct<SegmentMark::Block>(value));
  }
  return mark;
}

std::string StateKey() { return std::string(1, kState); }

std::string EncodeState(const DiskState& state) {
  std::string value;
  AppendStruct(state, &value);
  return value;
}

std::optional<DiskState> DecodeState(std::string_view value) {
  if (value.size() != sizeof(DiskState)) return std::nullopt;
  return ReadStruct<DiskState>(value);
}

std::string EncodeNumber(uint64_t number) {
  std::string value;
  AppendStruct(number, &value);
  return value;
}

std::optional<uint64_t> DecodeNumber(std::string_view value) {
  if (value.size() != sizeof(uint64_t)) return std::nullopt;
  return ReadStruct<uint64_t>(value);
}

}  // namespace kvasir
