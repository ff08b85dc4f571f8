#include "client/client_status.h"

#include <fmt/core.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/limits.h"

namespace kvasir {

absl::Status CheckKey(std::string_view key) {
  if (!key.empty() && key.size() <= kMaxKeyBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("key has {} bytes, 1 to {} are possible", key.size(), kMaxKeyBytes));
}

absl::Status CheckPut(const PutItem& item) {
  if (absl::Status status = CheckKey(item.key); !status.ok()) return status;
  uint64_t size = 0;
  for (const std::span<const std::byte> slice : item.payload) size += slice.size();
  if (size == 0 || size > kMaxBlockBytes) {
    return absl::InvalidArgumentError(
        fmt::format("put: block has {} bytes, 1 to {} are possible", size, kMaxBlockBytes));
  }
  if (item.attributes.size() > kMaxAttributesBytes) {
    return absl::InvalidArgumentError(fmt::format("put: attributes have {} bytes, at most {}",
                                                  item.attributes.size(), kMaxAttributesBytes));
  }
  return absl::OkStatus();
}

absl::Status CheckPin(std::string_view owner, std::chrono::milliseconds ttl) {
  if (owner.empty() || owner.size() > kMaxOwnerBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "pin: owner has {} bytes, 1 to {} are possible", owner.size(), kMaxOwnerBytes));
  }
  if (ttl.count() <= 0 || ttl > kMaxPinTtl) {
    return absl::InvalidArgumentError(
        fmt::format("pin: ttl of {} ms is not within 1 ms and 24 h", ttl.count()));
  }
  return absl::OkStatus();
}

absl::Status GetStatus(const KeyResult& result) {
  switch (result.outcome) {
    case Outcome::kOk:
      return absl::OkStatus();
    case Outcome::kAbsent:
      // No message: a plain miss is common, and a message costs an allocation.
      return absl::NotFoundError("");
    case Outcome::kInvalid:
      return absl::InvalidArgumentError(result.detail);
    case Outcome::kChecksum:
      return absl::NotFoundError("get: the bytes did not match their checksum");
    case Outcome::kSize:
      return absl::NotFoundError("get: stored with another size");
    case Outcome::kSkipped:
      return absl::NotFoundError("get: skipped by the sink");
    case Outcome::kLate:
      return absl::NotFoundError("get: too late; " + result.detail);
    default:
      return absl::NotFoundError("get: " + result.detail);
  }
}

absl::Status PutStatus(const KeyResult& result) {
  switch (result.outcome) {
    case Outcome::kOk:
      return absl::OkStatus();
    case Outcome::kExists:
      return absl::AlreadyExistsError("");
    case Outcome::kInProgress:
      return absl::AbortedError("put: another client is writing the key");
    case Outcome::kRefused:
      return absl::ResourceExhaustedError("refused: " + result.detail);
    case Outcome::kNodeDown:
      return absl::UnavailableError(result.detail);
    case Outcome::kLate:
      return absl::DeadlineExceededError(result.detail);
    case Outcome::kInvalid:
      return absl::InvalidArgumentError(result.detail);
    case Outcome::kChecksum:
      return absl::DataLossError("put: what arrived did not match its checksum");
    default:
      return absl::InternalError(result.detail);
  }
}

absl::Status FoundStatus(const KeyResult& result) {
  if (result.outcome == Outcome::kAbsent) return absl::NotFoundError("");
  return PutStatus(result);
}

}  // namespace kvasir
