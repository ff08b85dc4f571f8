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
// How long to wait for an answer, at most, before asking the stream, and again.
constexpr std::chrono::milliseconds kMessagePatience{50};

// A wait is at least so long, as halves of what is left never come to an end.
constexpr std::chrono::milliseconds kWaitMin{1};

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

absl::Status Parse(std::string_view bytes, v1::LaneResponse* response) {
  if (response->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::OkStatus();
  }
  return absl::UnavailableError("use control stream: the answer does not parse");
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
  absl::Status hopeless;
  while (true) {
    const Instant now = clock_->Now();
    // Half of what is left, so that a call of less than the patience asks too.
    const auto wait = std::min<BootClock::duration>((deadline - now) / 2 + kWaitMin,
                                                    kMessagePatience);
    const absl::StatusOr<std::optional<std::string_view>> answer =
        lane_->Receive(hopeless.ok() ? std::min(deadline, now + wait) : now);
    if (!answer.ok()) return answer.status();
    if (answer->has_value()) return Parse(**answer, response);
    if (!hopeless.ok()) return hopeless;
    hopeless = clock_->Now() < deadline
                   ? AskStream(deadline)
                   : absl::DeadlineExceededError("use control stream: no answer in time");
  }
}

absl::Status MessageStream::AskStream(Instant deadline) {
  v1::LaneRequest nothing;
  nothing.mutable_release();
  return stream_->Exchange(nothing, &sign_of_life_, deadline);
}

}  // namespace kvasir
