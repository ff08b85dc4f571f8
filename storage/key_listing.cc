#include "storage/key_listing.h"

#include <algorithm>
#include <string>
#include <utility>

namespace kvasir {
namespace {

// Reads one shard's keys in order, a few at a time.
class Cursor {
 public:
  Cursor(const Index* index, size_t shard, const ListRequest& request)
      : index_(index),
        shard_(shard),
        prefix_(request.prefix),
        // Twice an even share: most shards are then read once.
        page_size_(2 * request.limit / Index::kShards + 2) {
    Read(request.after);
  }

  bool done() const { return next_ == page_.size(); }
  // REQUIRES: !done().
  const KeyInfo& front() const { return page_[next_]; }
  KeyInfo Pop() {
    KeyInfo info = std::move(page_[next_++]);
    if (done() && page_.size() == page_size_) Read(info.key);
    return info;
  }

 private:
  void Read(std::string_view after) {
    page_.clear();
    next_ = 0;
    index_->VisitShard(shard_, prefix_, after, page_size_,
                       [this](const Block& block) { page_.push_back(InfoOf(block)); });
  }

  const Index* index_;
  size_t shard_;
  std::string_view prefix_;
  size_t page_size_;
  std::vector<KeyInfo> page_;
  size_t next_ = 0;
};

}  // namespace

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
  std::vector<KeyInfo> infos;
  if (request.limit == 0) return infos;
  std::vector<Cursor> heap;
  for (size_t shard = 0; shard < Index::kShards; ++shard) {
    Cursor cursor(&index, shard, request);
    if (!cursor.done()) heap.push_back(std::move(cursor));
  }
  const auto later = [](const Cursor& a, const Cursor& b) {
    return a.front().key > b.front().key;
  };
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty() && infos.size() < request.limit) {
    std::pop_heap(heap.begin(), heap.end(), later);
    infos.push_back(heap.back().Pop());
    if (heap.back().done()) {
      heap.pop_back();
    } else {
      std::push_heap(heap.begin(), heap.end(), later);
    }
  }
  return infos;
}

}  // namespace kvasir
