#include "rdma/frame.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"
#include "rdma/little_endian.h"

namespace kvasir {
namespace {

constexpr uint32_t kFrameMagic = 0x3146564b;  // "KVF1"
constexpr uint8_t kFrameVersion = 1;

absl::Status Malformed(std::string_view field, uint64_t value) {
  return absl::InvalidArgumentError(
      fmt::format("decode frame: {} is {:#x}", field, value));
}

bool HasRange(FrameType type) {
  return type == FrameType::kRead || type == FrameType::kWrite || type == FrameType::kData;
}

bool MetaFits(const FrameHeader& header) {
  switch (header.type) {
    case FrameType::kAttach: return header.meta_bytes == kFrameNonceBytes;
    case FrameType::kRead:
    case FrameType::kWrite:
    case FrameType::kError: return header.meta_bytes <= kFrameMetaBytesMax;
    case FrameType::kData:
    case FrameType::kAck: return header.meta_bytes == 0;
  }
  return false;
}

bool RangeFits(const FrameHeader& header) {
  if (!HasRange(header.type)) return header.offset_bytes == 0 && header.length_bytes == 0;
  return header.length_bytes >= 1 && header.length_bytes <= kMaxBlockBytes &&
         header.offset_bytes <= kMaxBlockBytes - header.length_bytes;
}

bool CodeFits(const FrameHeader& header) {
  if (header.type != FrameType::kError) return header.code == absl::StatusCode::kOk;
  return header.code >= absl::StatusCode::kCancelled &&
         header.code <= absl::StatusCode::kUnauthenticated;
}

absl::Status CheckBounds(const FrameHeader& header) {
  if (!MetaFits(header)) return Malformed("meta length", header.meta_bytes);
  if (!CodeFits(header)) return Malformed("code", static_cast<uint64_t>(header.code));
  if (!RangeFits(header)) return Malformed("length or offset", header.length_bytes);
  return absl::OkStatus();
}

}  // namespace

void EncodeFrameHeader(const FrameHeader& header, std::span<std::byte, kFrameHeaderBytes> to) {
  std::byte* const out = to.data();
  StoreLittleEndian(out, kFrameMagic);
  StoreLittleEndian(out + 4, kFrameVersion);
  StoreLittleEndian(out + 5, static_cast<uint8_t>(header.type));
  StoreLittleEndian(out + 6, static_cast<uint16_t>(header.code));
  StoreLittleEndian(out + 8, header.tag);
  StoreLittleEndian(out + 12, header.meta_bytes);
  StoreLittleEndian(out + 16, static_cast<uint64_t>(header.lease));
  StoreLittleEndian(out + 24, header.offset_bytes);
  StoreLittleEndian(out + 32, header.length_bytes);
}

absl::StatusOr<FrameHeader> DecodeFrameHeader(
    std::span<const std::byte, kFrameHeaderBytes> from) {
  const std::byte* const in = from.data();
  if (const auto magic = LoadLittleEndian<uint32_t>(in); magic != kFrameMagic) {
    return Malformed("magic", magic);
  }
  if (const auto version = LoadLittleEndian<uint8_t>(in + 4); version != kFrameVersion) {
    return Malformed("version", version);
  }
  const auto type = LoadLittleEndian<uint8_t>(in + 5);
  if (type < static_cast<uint8_t>(FrameType::kAttach) ||
      type > static_cast<uint8_t>(FrameType::kError)) {
    return Malformed("type", type);
  }
  FrameHeader header;
  header.type = FrameType{type};
  header.code = static_cast<absl::StatusCode>(LoadLittleEndian<uint16_t>(in + 6));
  header.tag = LoadLittleEndian<uint32_t>(in + 8);
  header.meta_bytes = LoadLittleEndian<uint32_t>(in + 12);
  header.lease = LeaseId{LoadLittleEndian<uint64_t>(in + 16)};
  header.offset_bytes = LoadLittleEndian<uint64_t>(in + 24);
  header.length_bytes = LoadLittleEndian<uint64_t>(in + 32);
  if (absl::Status status = CheckBounds(header); !status.ok()) return status;
  return header;
}

std::string EncodeErrorFrame(uint32_t tag, LeaseId lease, const absl::Status& status) {
  KV_CHECK(!status.ok());
  const std::string_view message = ToStd(status.message()).substr(0, kFrameMetaBytesMax);
  std::string frame;
  AppendFrameHead({.type = FrameType::kError,
                 .code = status.code(),
                 .tag = tag,
                 .meta_bytes = static_cast<uint32_t>(message.size()),
                 .lease = lease},
                message, &frame);
  return frame;
}

absl::Status StatusOfErrorFrame(const FrameHeader& header, std::string_view message) {
  KV_CHECK(header.type == FrameType::kError);
  return absl::Status(header.code, ToAbsl(message));
}

void AppendFrameHead(const FrameHeader& header, std::string_view meta, std::string* out) {
  KV_CHECK(header.meta_bytes == meta.size());
  const size_t at = out->size();
  out->resize(at + kFrameHeaderBytes);
  EncodeFrameHeader(header, std::span<std::byte, kFrameHeaderBytes>(
                                reinterpret_cast<std::byte*>(out->data() + at),
                                kFrameHeaderBytes));
  out->append(meta);
}

}  // namespace kvasir
