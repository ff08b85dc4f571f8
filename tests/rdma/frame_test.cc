#include "rdma/frame.h"

#include <array>
#include <random>
#include <string>

#include "base/limits.h"
#include "gtest/gtest.h"

namespace kvasir {
namespace {

using HeaderBytes = std::array<std::byte, kFrameHeaderBytes>;

FrameHeader Write() {
  return {.type = FrameType::kWrite,
          .tag = 9,
          .meta_bytes = 97,
          .lease = LeaseId{5},
          .offset_bytes = 4096,
          .length_bytes = 65536};
}

HeaderBytes Encode(const FrameHeader& header) {
  HeaderBytes bytes;
  EncodeFrameHeader(header, bytes);
  return bytes;
}

absl::StatusCode DecodedCode(const FrameHeader& header) {
  return DecodeFrameHeader(Encode(header)).status().code();
}

TEST(Frame, HeaderSurvivesTheRoundTrip) {
  const FrameHeader headers[] = {
      {.type = FrameType::kAttach, .meta_bytes = kFrameNonceBytes},
      {.type = FrameType::kRead, .tag = 1, .meta_bytes = 97, .length_bytes = 1},
      Write(),
      {.type = FrameType::kData, .lease = LeaseId{~0ull}, .length_bytes = kMaxBlockBytes},
      {.type = FrameType::kAck, .tag = ~0u, .lease = LeaseId{5}},
      {.type = FrameType::kError,
       .code = absl::StatusCode::kPermissionDenied,
       .meta_bytes = kFrameMetaBytesMax},
  };
  for (const FrameHeader& header : headers) {
    const absl::StatusOr<FrameHeader> decoded = DecodeFrameHeader(Encode(header));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, header);
  }
}

// docs/transports.md prints these bytes.
TEST(Frame, HeaderHasTheDocumentedBytes) {
  const unsigned char expected[kFrameHeaderBytes] = {
      'K', 'V', 'F', '1', 1, 3, 0, 0, 9, 0,    0, 0, 97, 0, 0, 0, 5, 0, 0, 0,
      0,   0,   0,   0,   0, 0x10, 0, 0, 0, 0, 0, 0, 0,  0, 1, 0, 0, 0, 0, 0};
  const HeaderBytes bytes = Encode(Write());
  for (size_t i = 0; i < kFrameHeaderBytes; ++i) {
    EXPECT_EQ(std::to_integer<int>(bytes[i]), expected[i]) << "byte " << i;
  }
}

TEST(Frame, RefusesWrongMagicVersionAndType) {
  for (const auto& [at, value] : {std::pair{0, 'X'}, {4, '\2'}, {5, '\0'}, {5, '\7'}}) {
    HeaderBytes bytes = Encode(Write());
    bytes[at] = static_cast<std::byte>(value);
    EXPECT_EQ(DecodeFrameHeader(bytes).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Frame, RefusesRangesOutOfBounds) {
  FrameHeader empty = Write();
  empty.length_bytes = 0;
  FrameHeader large = Write();
  large.length_bytes = kMaxBlockBytes + 1;
  FrameHeader beyond = Write();
  beyond.offset_bytes = kMaxBlockBytes - beyond.length_bytes + 1;
  FrameHeader wraps = Write();
  wraps.offset_bytes = ~0ull;
  FrameHeader ack = {.type = FrameType::kAck, .length_bytes = 1};
  for (const FrameHeader& header : {empty, large, beyond, wraps, ack}) {
    EXPECT_EQ(DecodedCode(header), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Frame, RefusesMetaOutOfBoundsForTheType) {
  FrameHeader large = Write();
  large.meta_bytes = kFrameMetaBytesMax + 1;
  const FrameHeader nonce = {.type = FrameType::kAttach, .meta_bytes = 15};
  const FrameHeader data = {.type = FrameType::kData, .meta_bytes = 1, .length_bytes = 1};
  for (const FrameHeader& header : {large, nonce, data}) {
    EXPECT_EQ(DecodedCode(header), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Frame, RefusesACodeWhereNoneBelongsAndAnErrorWithoutOne) {
  FrameHeader write = Write();
  write.code = absl::StatusCode::kInternal;
  const FrameHeader fine = {.type = FrameType::kError};
  const FrameHeader unknown = {.type = FrameType::kError,
                               .code = static_cast<absl::StatusCode>(17)};
  for (const FrameHeader& header : {write, fine, unknown}) {
    EXPECT_EQ(DecodedCode(header), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Frame, RandomHeadersThatDecodeKeepTheirBounds) {
  std::mt19937_64 random(1);
  const HeaderBytes good = Encode(Write());
  for (int i = 0; i < 200'000; ++i) {
    HeaderBytes bytes = good;
    for (size_t n = 1 + random() % 6; n > 0; --n) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    const absl::StatusOr<FrameHeader> header = DecodeFrameHeader(bytes);
    if (!header.ok()) continue;
    ASSERT_LE(header->meta_bytes, kFrameMetaBytesMax);
    ASSERT_LE(header->length_bytes, kMaxBlockBytes);
    ASSERT_LE(header->offset_bytes, kMaxBlockBytes);
    ASSERT_EQ(Encode(*header), bytes);
  }
}

TEST(Frame, ErrorFrameCarriesItsStatusAndCutsALongMessage) {
  const absl::Status status = absl::PermissionDeniedError(std::string(1000, 'm'));
  const std::string frame = EncodeErrorFrame(4, LeaseId{6}, status);
  ASSERT_EQ(frame.size(), kFrameHeaderBytes + kFrameMetaBytesMax);
  const auto bytes = std::as_bytes(std::span(frame));
  const absl::StatusOr<FrameHeader> header = DecodeFrameHeader(bytes.first<kFrameHeaderBytes>());
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->tag, 4u);
  EXPECT_EQ(header->lease, LeaseId{6});
  const absl::Status read = StatusOfErrorFrame(*header, frame.substr(kFrameHeaderBytes));
  EXPECT_EQ(read, absl::PermissionDeniedError(std::string(kFrameMetaBytesMax, 'm')));
}

}  // namespace
}  // namespace kvasir
