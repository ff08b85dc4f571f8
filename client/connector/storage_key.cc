#include "client/connector/storage_key.h"

#include <openssl/sha.h>

#include <array>
#include <cstdint>

#include "base/limits.h"

namespace kvasir {

bool NeedsStandIn(std::string_view key) {
  return key.empty() || key.size() > kMaxKeyBytes || key.starts_with(kStandInPrefix);
}

std::string StandIn(std::string_view key) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  std::string out(kStandInPrefix);
  for (int shift = 56; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(static_cast<uint64_t>(key.size()) >> shift));
  }
  out.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  return out;
}

StorageKeys::StorageKeys(std::span<const std::string_view> keys) {
  views_.reserve(keys.size());
  for (const std::string_view key : keys) {
    views_.push_back(NeedsStandIn(key) ? stand_ins_.emplace_back(StandIn(key)) : key);
  }
}

}  // namespace kvasir
