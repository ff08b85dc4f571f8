#ifndef KVASIR_TESTS_SIMULATION_VALUES_H_
#define KVASIR_TESTS_SIMULATION_VALUES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvasir::sim {

// Every value ever put, made so that any block of bytes tells which one it is, or that it
// is none: a header with the version and the size, then bytes that no other version has
// at the same place.
class Values {
 public:
  static constexpr size_t kMinBytes = 32;
  static constexpr size_t kMaxBytes = 16 * 1024;

  // A new version of `key`; they count from 1.
  uint64_t Make(std::string_view key, size_t size_bytes);
  std::string Bytes(uint64_t version) const;
  // The version that `bytes` are, whole and unmixed; nothing if they are none.
  std::optional<uint64_t> Recognize(std::span<const std::byte> bytes) const;
  const std::string& KeyOf(uint64_t version) const { return values_.at(version - 1).key; }
  size_t SizeOf(uint64_t version) const { return values_.at(version - 1).size_bytes; }

 private:
  struct Value {
    std::string key;
    size_t size_bytes = 0;
  };
  std::vector<Value> values_;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_VALUES_H_
