#ifndef KVASIR_STORAGE_SHARD_MERGE_H_
#define KVASIR_STORAGE_SHARD_MERGE_H_

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kvasir {

struct ShardMergeOptions {
  size_t shards = 1;
  size_t limit = 0;  // items in all
};

// The first items, by key, of shards that are each in order. `read(shard, after, count)`
// returns a std::vector<Item> of at most `count` items with keys greater than `after`;
// `Item` has a std::string `key`. Reads each shard a page at a time, most of them once,
// and holds one page a shard.
template <typename Item, typename Read>
std::vector<Item> MergeShards(const ShardMergeOptions& options, std::string_view after,
                              const Read& read) {
  std::vector<Item> merged;
  if (options.limit == 0) return merged;
  struct Cursor {
    size_t shard;
    std::vector<Item> page;
    size_t next = 0;
    const std::string& key() const { return page[next].key; }
  };
  // Twice an even share.
  const size_t page_items = 2 * options.limit / options.shards + 2;
  std::vector<Cursor> heap;
  for (size_t shard = 0; shard < options.shards; ++shard) {
    Cursor cursor{.shard = shard, .page = read(shard, after, page_items)};
    if (!cursor.page.empty()) heap.push_back(std::move(cursor));
  }
  const auto later = [](const Cursor& a, const Cursor& b) { return a.key() > b.key(); };
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty() && merged.size() < options.limit) {
    std::pop_heap(heap.begin(), heap.end(), later);
    Cursor& first = heap.back();
    merged.push_back(std::move(first.page[first.next++]));
    if (first.next == first.page.size() && first.page.size() == page_items) {
      first.page = read(first.shard, std::string_view(merged.back().key), page_items);
      first.next = 0;
    }
    if (first.next == first.page.size()) {
      heap.pop_back();
    } else {
      std::push_heap(heap.begin(), heap.end(), later);
    }
  }
  return merged;
}

}  // namespace kvasir

#endif  // KVASIR_STORAGE_SHARD_MERGE_H_
