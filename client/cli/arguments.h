#ifndef KVASIR_CLIENT_CLI_ARGUMENTS_H_
#define KVASIR_CLIENT_CLI_ARGUMENTS_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

// Words of the command line. Every error is InvalidArgument and quotes the word.
namespace kvasir {

// A key as people write it: \xNN is one byte, anything else stands for itself, and a
// backslash is written \x5c. The inverse of PrintableKey. 1 to kMaxKeyBytes bytes.
absl::StatusOr<std::string> ParseKey(std::string_view text);
absl::StatusOr<std::vector<std::string>> ParseKeys(const std::vector<std::string>& texts);
// The same for a prefix, which may be empty.
absl::StatusOr<std::string> ParsePrefix(std::string_view text);

// "500ms", "30s", "5m", "2h": a number and a unit, at least 1 ms.
absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text);

// "64KiB": 1 to kMaxBlockBytes.
absl::StatusOr<uint64_t> ParseBlockBytes(std::string_view text);

// "350 us", "2.5 ms", "12 s", "3 h 25 min": for people.
std::string FormatDuration(std::chrono::nanoseconds duration);

// The whole of `key`, however long, as ParseKey takes it.
std::string KeyText(std::string_view key);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_ARGUMENTS_H_
