#ifndef KVASIR_SERVICE_LANE_STREAM_READER_H_
#define KVASIR_SERVICE_LANE_STREAM_READER_H_

#include <grpcpp/support/byte_buffer.h>

#include <array>
#include <cstddef>

#include "kvasir/v1/kv.pb.h"

namespace kvasir {

// Parses one lane's requests, each into memory that earlier ones of its kind have left.
// protobuf frees the message inside a oneof whenever the outer one is cleared, and with
// it every key's string, which was a quarter of the server's time on a lookup of 64 keys.
// So there is one outer message for each kind of request, and what is inside it is
// emptied rather than freed.
//
// Thread-compatible.
// Bounds: a kind that has taken in kReusedBytesMax in all starts afresh, so that a
//         client which varies its sizes cannot make the server keep more than that.
class LaneStreamReader {
 public:
  static constexpr size_t kReusedBytesMax = 1 << 20;

  // The request, valid until the next Read; null if the bytes are none.
  const v1::LaneRequest* Read(grpc::ByteBuffer* bytes);

 private:
  struct Slot {
    v1::LaneRequest request;
    size_t taken_bytes = 0;
  };
  // By the number of the field inside `oneof request`; 0 for requests without.
  std::array<Slot, 11> slots_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_LANE_STREAM_READER_H_
