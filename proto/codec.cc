#include "proto/codec.h"

#include <fmt/core.h>

#include <chrono>

#include "base/bytes.h"
#include "base/check.h"
#include "base/status_reason.h"

namespace kvasir {
namespace {

// Bytes of the well-formed sequence at the start of `text`, 0 if there is none.
// RFC 3629, section 4: no overlong forms, no surrogates, nothing above U+10FFFF.
size_t Utf8SequenceBytes(std::string_view text) {
  const auto at = [text](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto in = [](unsigned value, unsigned low, unsigned high) {
    return value >= low && value <= high;
  };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  if (in(first, 0xC2, 0xDF)) return in(at(1), 0x80, 0xBF) ? 2 : 0;
  if (in(first, 0xE0, 0xEF)) {
    const unsigned low = first == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = first == 0xED ? 0x9F : 0xBF;
    return in(at(1), low, high) && in(at(2), 0x80, 0xBF) ? 3 : 0;
  }
  if (in(first, 0xF0, 0xF4)) {
    const unsigned low = first == 0xF0 ? 0x90 : 0x80;
    const unsigned high = first == 0xF4 ? 0x8F : 0xBF;
    const bool tail = in(at(2), 0x80, 0xBF) && in(at(3), 0x80, 0xBF);
    return in(at(1), low, high) && tail ? 4 : 0;
  }
  return 0;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t bytes = Utf8SequenceBytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

}  // namespace

std::string Utf8OrEscaped(std::string_view text) {
  if (IsUtf8(text)) return std::string(text);
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      escaped.push_back(c);
    } else {
      escaped += fmt::format("\\x{:02X}", byte);
    }
  }
  return escaped;
}

absl::StatusCode ErrorCodeFromWire(int64_t code) {
  constexpr auto kLast = static_cast<int64_t>(absl::StatusCode::kUnauthenticated);
  if (code <= 0 || code > kLast) return absl::StatusCode::kUnknown;
  return static_cast<absl::StatusCode>(code);
}

void ToLaneError(const absl::Status& status, v1::LaneError* error) {
  KV_CHECK(!status.ok());
  error->set_code(static_cast<int32_t>(status.code()));
  error->set_message(Utf8OrEscaped(ToStd(status.message())));
  error->set_reason(Utf8OrEscaped(ReasonOf(status)));
  error->set_retry_after_ms(static_cast<uint32_t>(RetryAfterOf(status).count()));
}

absl::Status FromLaneError(const v1::LaneError& error) {
  absl::Status status(ErrorCodeFromWire(error.code()), error.message());
  if (error.reason().empty()) return status;
  return WithReason(std::move(status), error.reason(),
                    std::chrono::milliseconds(error.retry_after_ms()));
}

}  // namespace kvasir
