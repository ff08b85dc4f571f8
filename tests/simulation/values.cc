#include "tests/simulation/values.h"

#include <cstring>

#include "base/check.h"
#include "tests/simulation/dice.h"

namespace kvasir::sim {
namespace {

constexpr size_t kTableBytes = 64 * 1024;

// Bytes without a pattern, so that a version is a place to start from, and filling and
// comparing cost no more than memcpy and memcmp.
const std::byte* Table() {
  static const std::vector<std::byte>* const table = [] {
    auto* const bytes = new std::vector<std::byte>(kTableBytes + Values::kMaxBytes);
    Dice dice(0x5eed);
    for (std::byte& byte : *bytes) byte = static_cast<std::byte>(dice.Next() >> 56);
    return bytes;
  }();
  return table->data();
}

struct Header {
  uint64_t magic = 0x76616c7565210a00;
  uint64_t version = 0;
  uint64_t size_bytes = 0;
};

const std::byte* BodyOf(uint64_t version) {
  // 977 is odd, so that 65,536 versions start at as many places.
  return Table() + version * 977 % kTableBytes;
}

}  // namespace

uint64_t Values::Make(std::string_view key, size_t size_bytes) {
  KV_CHECK(size_bytes >= kMinBytes && size_bytes <= kMaxBytes);
  values_.push_back({.key = std::string(key), .size_bytes = size_bytes});
  return values_.size();
}

std::string Values::Bytes(uint64_t version) const {
  std::string bytes(SizeOf(version), '\0');
  std::memcpy(bytes.data(), BodyOf(version), bytes.size());
  const Header header{.version = version, .size_bytes = bytes.size()};
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

std::optional<uint64_t> Values::Recognize(std::span<const std::byte> bytes) const {
  Header header;
  if (bytes.size() < kMinBytes) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != Header().magic || header.size_bytes != bytes.size()) {
    return std::nullopt;
  }
  if (header.version == 0 || header.version > values_.size()) return std::nullopt;
  if (SizeOf(header.version) != bytes.size()) return std::nullopt;
  const bool whole =
      std::memcmp(bytes.data() + sizeof header, BodyOf(header.version) + sizeof header,
                  bytes.size() - sizeof header) == 0;
  return whole ? std::optional(header.version) : std::nullopt;
}

}  // namespace kvasir::sim
