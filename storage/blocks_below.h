#ifndef KVASIR_STORAGE_BLOCKS_BELOW_H_
#define KVASIR_STORAGE_BLOCKS_BELOW_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace kvasir {

// What a store in memory must know of the place beneath it. Asked under the lock of the
// key's shard, so that what is decided there about a key holds for both places: it
// answers from memory, without IO, and never calls back. Thread-safe.
class BlocksBelow {
 public:
  // Whether there is a place below at all. False at first, perhaps, and then true.
  virtual bool exists() const = 0;
  // The generation of the newest block of `key` down there; nothing if there is none.
  virtual std::optional<uint64_t> FindGeneration(std::string_view key) const = 0;

 protected:
  ~BlocksBelow() = default;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_BLOCKS_BELOW_H_
