#include "storage/disk_format.h"

#include <string>
#include <vector>

#include "base/limits.h"
#include "gtest/gtest.h"

namespace kvasir {
namespace {

const DiskRecord kRecord = {.key = std::string_view("a\0key", 5),
                            .generation = 42,
                            .size_bytes = 7,
                            .checksum = 0x1122334455667788,
                            .attributes = "shape"};

std::string EncodedRecord() {
  std::string bytes;
  AppendRecordHead(kRecord, &bytes);
  return bytes + "payload";
}

void Same(const DiskRecord& a, const DiskRecord& b) {
  EXPECT_EQ(a.key, b.key);
  EXPECT_EQ(a.generation, b.generation);
  EXPECT_EQ(a.size_bytes, b.size_bytes);
  EXPECT_EQ(a.checksum, b.checksum);
  EXPECT_EQ(a.attributes, b.attributes);
}

TEST(DiskFormat, RecordComesBack) {
  const std::string bytes = EncodedRecord();
  const absl::StatusOr<DecodedRecord> decoded = DecodeRecord(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  Same(decoded->record, kRecord);
  EXPECT_EQ(decoded->payload.size(), 7u);
  EXPECT_EQ(static_cast<char>(decoded->payload[0]), 'p');
  EXPECT_EQ(bytes.size(), RecordHeadBytes(5, 5) + 7);
}

TEST(DiskFormat, EveryFlippedBitBeforeThePayloadIsSeen) {
  const std::string good = EncodedRecord();
  for (size_t bit = 0; bit < 8 * (good.size() - 7); ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= static_cast<char>(1 << bit % 8);
    EXPECT_EQ(DecodeRecord(bad).status().code(), absl::StatusCode::kDataLoss) << bit;
  }
}

TEST(DiskFormat, RecordsOfTheWrongLengthAreRefused) {
  const std::string good = EncodedRecord();
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(DecodeRecord(good.substr(0, size)).status().code(),
              absl::StatusCode::kDataLoss);
  }
  EXPECT_EQ(DecodeRecord(good + "x").status().code(), absl::StatusCode::kDataLoss);
}

std::string EncodedChunk() {
  std::string entries;
  AppendListingEntry({.record = kRecord, .durable = true}, &entries);
  AppendListingEntry({.record = {.key = "b", .generation = 43}, .durable = false},
                     &entries);
  EXPECT_EQ(entries.size(),
            ListingEntryBytes(kRecord) + ListingEntryBytes(DiskRecord{.key = "b"}));
  return EncodeListingChunk(
      {.segment = 9, .chunk = 1, .chunk_count = 2, .records = 2, .generation_max = 50},
      entries);
}

TEST(DiskFormat, ListingChunkComesBack) {
  std::vector<bool> durable;
  std::vector<std::string> keys;
  const std::string bytes = EncodedChunk();
  EXPECT_EQ(bytes.size(), kTierListingChunkBytesMin);
  const absl::StatusOr<ListingHead> head =
      DecodeListingChunk(bytes, [&](const ListingEntry& entry) {
        if (keys.empty()) Same(entry.record, kRecord);
        keys.emplace_back(entry.record.key);
        durable.push_back(entry.durable);
      });
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->segment, 9u);
  EXPECT_EQ(head->chunk, 1u);
  EXPECT_EQ(head->chunk_count, 2u);
  EXPECT_EQ(head->records, 2u);
  EXPECT_EQ(head->generation_max, 50u);
  EXPECT_EQ(keys, (std::vector<std::string>{std::string("a\0key", 5), "b"}));
  EXPECT_EQ(durable, (std::vector<bool>{true, false}));
}

TEST(DiskFormat, EveryFlippedBitOfAChunkIsSeenAndNothingIsVisited) {
  const std::string good = EncodedChunk();
  const size_t used = 48 + ListingEntryBytes(kRecord) + ListingEntryBytes({.key = "b"});
  for (size_t bit = 0; bit < 8 * used; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= static_cast<char>(1 << bit % 8);
    const auto status =
        DecodeListingChunk(bad, [](const ListingEntry&) { FAIL(); }).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << bit;
  }
}

TEST(DiskFormat, FormatFileNamesItsVersion) {
  const std::string text = EncodeFormatFile(1);
  EXPECT_EQ(text.substr(0, 27), "kvasir disk tier, format 1,");
  ASSERT_TRUE(DecodeFormatFile(text).ok());
  EXPECT_EQ(*DecodeFormatFile(text), 1u);
  EXPECT_EQ(*DecodeFormatFile(EncodeFormatFile(77)), 77u);
  for (size_t bit = 0; bit < 8 * text.size(); ++bit) {
    std::string bad = text;
    bad[bit / 8] ^= static_cast<char>(1 << bit % 8);
    EXPECT_EQ(DecodeFormatFile(bad).status().code(), absl::StatusCode::kDataLoss) << bit;
  }
  EXPECT_EQ(DecodeFormatFile("").status().code(), absl::StatusCode::kDataLoss);
}

TEST(DiskFormat, SegmentsAndTheirPartsSortInOrder) {
  using enum ListingCopy;
  const std::vector<std::string> sorted = {
      SegmentBegin(1),
      ListingKey(1, kFront, 0),
      ListingKey(1, kFront, 1),
      ListingKey(1, kFront, 256),
      RecordKey(1, ""),
      RecordKey(1, std::string("\0", 1)),
      RecordKey(1, "\xff"),
      RecordKey(1, std::string(kMaxKeyBytes, '\xff')),
      ListingKey(1, kBack, 0),
      SegmentEnd(1),
      ListingKey(2, kFront, 0),
      RecordKey(255, "\xff"),
      ListingKey(256, kFront, 0)};
  for (size_t i = 1; i < sorted.size(); ++i) EXPECT_LT(sorted[i - 1], sorted[i]) << i;
  EXPECT_EQ(SegmentOfDataKey(RecordKey(256, "x")), 256u);
  EXPECT_EQ(SegmentOfDataKey("short"), std::nullopt);
}

TEST(DiskFormat, MetadataKeysComeBack) {
  const std::string meta_key = TombstoneKey({.mark = 300, .key = "k"});
  const auto tombstone = DecodeTombstoneKey(meta_key);  // Refers to it.
  ASSERT_TRUE(tombstone.has_value());
  EXPECT_EQ(tombstone->mark, 300u);
  EXPECT_EQ(tombstone->key, "k");
  EXPECT_LT(TombstoneBegin(300), TombstoneKey({.mark = 300, .key = "k"}));
  EXPECT_LT(TombstoneKey({.mark = 300, .key = "\xff"}), TombstoneBegin(301));
  EXPECT_LT(TombstoneBegin(UINT64_MAX), TombstonesEnd());
  EXPECT_EQ(DecodeSegmentMarkKey(SegmentMarkKey(5)), 5u);
  EXPECT_EQ(DecodeSegmentMarkKey(StateKey()), std::nullopt);
  EXPECT_EQ(DecodeTombstoneKey(SegmentMarkKey(5)), std::nullopt);
  const auto mark = DecodeSegmentMark(
      EncodeSegmentMark({.durable_records = 2, .blocks = {{5, 6}, {7, 8}}}));
  ASSERT_TRUE(mark.has_value());
  EXPECT_EQ(mark->durable_records, 2u);
  ASSERT_EQ(mark->blocks.size(), 2u);
  EXPECT_EQ(mark->blocks[1].generation, 8u);
  EXPECT_FALSE(DecodeSegmentMark("").has_value());
  EXPECT_EQ(DecodeNumber(EncodeNumber(77)), 77u);
  EXPECT_EQ(DecodeNumber("no"), std::nullopt);
  const auto state = DecodeState(EncodeState({.generation_max = 3, .next_segment = 4}));
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->generation_max, 3u);
  EXPECT_EQ(state->next_segment, 4u);
}

}  // namespace
}  // namespace kvasir
