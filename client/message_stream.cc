#include "client/message_stream.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/codec.h"

namespace kvasir {
namespace {

// Of a message that asks for grants: their answers, of at most 500 bytes each (a token, 256
// bytes of attributes, numbers), fit into another.
constexpr int kMessageKeysMax = 16;
// How long to wait for an answer before asking the stream, and again.
constexpr std::chrono::milliseconds kMessagePatience{50};

bool FitsMessage(const v1::LaneRequest& request) {
  switch (request.request_case()) {
    case v1::LaneRequest::kLookup:
    case v1::LaneRequest::kCommit:
    case v1::LaneRequest::kAbort:
    case v1::LaneRequest::kRelease:
      break;
    case v1::LaneRequest::kGrantReads:
      if (request.grant_reads().keys_size() > kMessageKeysMax) return false;
      break;
    case v1::LaneRequest::kGrantWrites:
      if (request.grant_writes().writes_size() > kMessageKeysMax) return false;
      break;
    default:
      return false;
  }
  return request.ByteSizeLong() <= kLaneMessageBytesMax;
}

}  // namespace

absl::Status MessageStream::Exchange(const v1::LaneRequest& request,
                                     v1::LaneResponse* response, Instant deadline) {
  if (ended_) return absl::UnavailableError("use control stream: it has ended");
  // A lane that has failed leaves the stream to say what became of a put.
  if (!lane_->usable() || !lane_->carries_messages() || !FitsMessage(request)) {
    return stream_->Exchange(request, response, deadline);
  }
  if (absl::Status status = ExchangeMessages(request, response, deadline); !status.ok()) {
    ended_ = true;
    return status;
  }
  return response->has_error() ? FromLaneError(response->error()) : absl::OkStatus();
}

absl::Status MessageStream::ExchangeMessages(const v1::LaneRequest& request,
                                             v1::LaneResponse* response, Instant deadline) {
  request.SerializeToString(&message_);
  if (absl::Status sent = lane_->Send(message_); !sent.ok()) return sent;
  while (true) {
    const Instant now = clock_->Now();
    if (now >= deadline) {
      return absl::DeadlineExceededError("use control stream: no answer in time");
    }
    const absl::StatusOr<std::optional<std::string_view>> answer =
        lane_->Receive(std::min(deadline, now + kMessagePatience));
    if (!answer.ok()) return answer.status();
    if (answer->has_value()) {
      const std::string_view bytes = **answer;
      if (response->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        return absl::OkStatus();
      }
      return absl::UnavailableError("use control stream: the answer does not parse");
    }
    if (absl::Status alive = AskStream(deadline); !alive.ok()) return alive;
  }
}

absl::Status MessageStream::AskStream(Instant deadline) {
  v1::LaneRequest nothing;
  nothing.mutable_release();
  return stream_->Exchange(nothing, &sign_of_life_, deadline);
}

}  // namespace kvasir
