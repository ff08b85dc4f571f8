#include "base/ids.h"

#include <fmt/core.h>

namespace kvasir {
namespace {

void AppendBigEndian(uint64_t value, std::string* out) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(value >> shift));
  }
}

uint64_t ReadBigEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (char c : bytes) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

}  // namespace

std::string SessionId::ToBytes() const {
  std::string bytes;
  bytes.reserve(16);
  AppendBigEndian(high, &bytes);
  AppendBigEndian(low, &bytes);
  return bytes;
}

absl::StatusOr<SessionId> SessionId::FromBytes(std::string_view bytes) {
  if (bytes.size() != 16) {
    return absl::InvalidArgumentError(
        fmt::format("parse session id: {} bytes, expected 16", bytes.size()));
  }
  return SessionId{ReadBigEndian(bytes.substr(0, 8)), ReadBigEndian(bytes.substr(8))};
}

std::string SessionId::ToString() const { return fmt::format("{:016x}{:016x}", high, low); }

}  // namespace kvasir
