#ifndef KVASIR_CLIENT_CONNECTOR_STORAGE_KEY_H_
#define KVASIR_CLIENT_CONNECTOR_STORAGE_KEY_H_

#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Engine keys have no bound on their length; the store's have. A key that the store
// takes as it is stays as it is. Any other (longer than kMaxKeyBytes, or empty) becomes
// kStandInPrefix, its length in 8 bytes big endian, and its whole SHA-256: two keys
// share a stand-in only if they collide in SHA-256. A key that already begins like a
// stand-in gets one too, so no short key can name a long key's block.
namespace kvasir {

inline constexpr std::string_view kStandInPrefix("\0kvasir-sha256\0", 15);

bool NeedsStandIn(std::string_view key);
std::string StandIn(std::string_view key);

// The keys of one batch as the store takes them. Borrows `keys`, which must outlive it.
class StorageKeys {
 public:
  explicit StorageKeys(std::span<const std::string_view> keys);
  StorageKeys(const StorageKeys&) = delete;
  StorageKeys& operator=(const StorageKeys&) = delete;

  // Aligned with the keys.
  std::span<const std::string_view> views() const { return views_; }

 private:
  std::deque<std::string> stand_ins_;  // a deque: views_ point into it
  std::vector<std::string_view> views_;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CONNECTOR_STORAGE_KEY_H_
