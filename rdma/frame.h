#ifndef KVASIR_RDMA_FRAME_H_
#define KVASIR_RDMA_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"

// The frames that the tcp and shm transports exchange on a lane. docs/transports.md has
// the layout byte by byte.
//
// A frame is a header of kFrameHeaderBytes, then `meta_bytes` of meta, then, for kWrite
// and kData alone, `length_bytes` of payload.
namespace kvasir {

enum class FrameType : uint8_t {
  kAttach = 1,  // client: binds the connection to a lane. Meta: the nonce of the offer.
  kRead = 2,    // client: asks for a range of a block. Meta: a sealed token.
  kWrite = 3,   // client: brings a whole block. Meta: a sealed token. Payload.
  kData = 4,    // server: a piece of a block. Payload.
  kAck = 5,     // server: an attach or a write is done.
  kError = 6,   // server: refused. Meta: a message for people; `code` says why.
};

struct FrameHeader {
  FrameType type{};
  absl::StatusCode code = absl::StatusCode::kOk;  // kError only
  uint32_t tag = 0;         // the client's number of a request, echoed in its answers
  uint32_t meta_bytes = 0;
  LeaseId lease{};          // what the sender says; the server goes by the token alone
  uint64_t offset_bytes = 0;  // of the range within the block
  uint64_t length_bytes = 0;  // of the range; of the payload where there is one

  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

inline constexpr size_t kFrameHeaderBytes = 40;
inline constexpr size_t kFrameMetaBytesMax = 256;
inline constexpr size_t kFrameNonceBytes = 16;
// `tag` of what answers no request: a pushed block, a malformed frame.
inline constexpr uint32_t kNoTag = 0;

inline bool HasPayload(FrameType type) {
  return type == FrameType::kWrite || type == FrameType::kData;
}

// REQUIRES: `header` keeps the bounds that DecodeFrameHeader checks.
void EncodeFrameHeader(const FrameHeader& header, std::span<std::byte, kFrameHeaderBytes> to);

// InvalidArgument, naming the field and its value, for a wrong magic, version, type or
// code, or for lengths that are out of bounds for the type: meta above
// kFrameMetaBytesMax, a range that is empty or ends beyond kMaxBlockBytes.
absl::StatusOr<FrameHeader> DecodeFrameHeader(
    std::span<const std::byte, kFrameHeaderBytes> from);

// A whole error frame that answers request `tag`. The message is cut to fit.
// REQUIRES: `status` is not OK.
std::string EncodeErrorFrame(uint32_t tag, LeaseId lease, const absl::Status& status);

// What an error frame says, for the side that got it.
// REQUIRES: `header.type == FrameType::kError`.
absl::Status StatusOfErrorFrame(const FrameHeader& header, std::string_view message);

// Appends a frame up to its payload to `out`.
// REQUIRES: `header.meta_bytes == meta.size()`.
void AppendFrameHead(const FrameHeader& header, std::string_view meta, std::string* out);

}  // namespace kvasir

#endif  // KVASIR_RDMA_FRAME_H_
