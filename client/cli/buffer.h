#ifndef KVASIR_CLIENT_CLI_BUFFER_H_
#define KVASIR_CLIENT_CLI_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "client/client.h"

namespace kvasir {

// Memory registered once with a client and used for block after block. Must not outlive
// the client.
class Buffer {
 public:
  // ResourceExhausted if there is no memory; else what Register says.
  static absl::StatusOr<Buffer> Make(Client* client, uint64_t size_bytes);

  std::span<std::byte> bytes() const { return bytes_; }
  // Slot `i` of slots of `block_bytes` each.
  std::span<std::byte> Slot(size_t i, uint64_t block_bytes) const {
    return bytes_.subspan(i * block_bytes, block_bytes);
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  std::unique_ptr<std::byte, Free> memory_;
  std::span<std::byte> bytes_;
  std::unique_ptr<MemoryHandle> handle_;  // after the memory: deregistered first
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_BUFFER_H_
