#ifndef KVASIR_STORAGE_KEY_LISTING_H_
#define KVASIR_STORAGE_KEY_LISTING_H_

#include <cstddef>
#include <string_view>
#include <vector>

#include "storage/index.h"
#include "storage/key_info.h"

namespace kvasir {

// REQUIRES: the caller holds the block, or the lock of its shard.
KeyInfo InfoOf(const Block& block);

struct ListRequest {
  std::string_view prefix;
  std::string_view after;
  size_t limit = 0;
};
// Merges the shards' trees in byte order, reading each a few keys at a time, so that a
// page costs about its own length and no shard is locked for long. Keys that come or go
// meanwhile may be listed or not. Internal to storage/.
std::vector<KeyInfo> ListKeys(const Index& index, const ListRequest& request);

}  // namespace kvasir

#endif  // KVASIR_STORAGE_KEY_LISTING_H_
