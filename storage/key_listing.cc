#include "storage/key_listing.h"

#include <string>
#include <string_view>

#include "storage/shard_merge.h"

namespace kvasir {

KeyInfo InfoOf(const Block& block) {
  return {.key = std::string(block.key()),
          .size_bytes = block.size_bytes(),
          .checksum = block.checksum(),
          .attributes = std::string(block.attributes()),
          .residency = Residency::kMemory,
          .references = block.references(),
          .generation = block.generation()};
}

std::vector<KeyInfo> ListKeys(const Index& index, const ListRequest& request) {
  return MergeShards<KeyInfo>(
      {.shards = Index::kShards, .limit = request.limit}, request.after,
      [&](size_t shard, std::string_view after, size_t page_keys) {
        std::vector<KeyInfo> page;
        index.VisitShard(shard, request.prefix, after, page_keys,
                         [&](const Block& block) { page.push_back(InfoOf(block)); });
        return page;
      });
}

}  // namespace kvasir
