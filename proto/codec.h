#ifndef KVASIR_PROTO_CODEC_H_
#define KVASIR_PROTO_CODEC_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "kvasir/v1/kv.pb.h"

// Errors as messages. An absl::Status with its reason and retry delay
// (base/status_reason.h) survives the way there and back. proto/grpc_status.h does the
// same for unary calls.
//
// Threads: pure functions, from any thread.
namespace kvasir {

// Fills `error` from `status`, replacing what it held.
// REQUIRES: !status.ok().
void ToLaneError(const absl::Status& status, v1::LaneError* error);
// The status that `error` stands for. Never OK: a code of 0 or an unknown one is
// Unknown.
absl::Status FromLaneError(const v1::LaneError& error);

// google.rpc.Code and absl::StatusCode have the same numbers; one outside them, or OK
// where an error is due, is Unknown.
absl::StatusCode ErrorCodeFromWire(int64_t code);

// `text` if it may stand in a proto3 string, which must be UTF-8; otherwise with every
// byte beyond ASCII as \xNN. A message that is not UTF-8 would not parse at the peer.
std::string Utf8OrEscaped(std::string_view text);

}  // namespace kvasir

#endif  // KVASIR_PROTO_CODEC_H_
