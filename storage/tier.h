#ifndef KVASIR_STORAGE_TIER_H_
#define KVASIR_STORAGE_TIER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/block_info.h"

namespace kvasir {

// What an OK from Store promises to survive.
enum class Durability : uint8_t { kNone, kProcess, kPower };

// A slower place for blocks, beneath memory. Copies bytes in and out; hands out no
// pointers. Takes batches, because a disk is fast only in large writes and deep reads.
// Calls may block on IO. Thread-safe.
class Tier {
 public:
  struct Record {
    std::string_view key;
    const BlockInfo* info;
    std::span<const std::byte> payload;
  };
  struct Read {
    std::string_view key;
    std::span<std::byte> payload;  // size must equal the stored size
    absl::Status status;           // set by Load: NotFound if absent, DataLoss if the
                                   // bytes do not match their checksum
  };

  virtual ~Tier() = default;

  // Stores copies, all or none. ResourceExhausted if the disk is full; Unavailable
  // while the tier is read-only. Readable by Load on return.
  virtual absl::Status Store(std::span<const Record> batch, Durability durability) = 0;
  virtual void Load(std::span<Read> batch) = 0;
  virtual absl::Status Delete(std::string_view key) = 0;

  // Frees at least `target_bytes`, coldest first. Runs `dropped` for each key before
  // its bytes are gone, so that an index never points at nothing.
  virtual uint64_t Trim(uint64_t target_bytes,
                        absl::FunctionRef<void(std::string_view key)> dropped) = 0;

  // Visits every stored block once, in no order, without reading payloads.
  virtual absl::Status Scan(
      absl::FunctionRef<void(std::string_view key, const BlockInfo& info)> visit) = 0;
  virtual uint64_t used_bytes() const = 0;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_TIER_H_
