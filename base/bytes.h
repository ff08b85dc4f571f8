#ifndef KVASIR_BASE_BYTES_H_
#define KVASIR_BASE_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kvasir {

// Debian's absl::string_view is a type of its own; these convert without a copy.
inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// "2GiB", "512 KiB", "4096", "1.5GiB": a number, then nothing, B, KiB, MiB, GiB, TiB
// (powers of 1024) or KB, MB, GB, TB (powers of 1000). InvalidArgument names the text
// and the units it takes; also for negative, fractional bytes or above 2^63 - 1.
absl::StatusOr<uint64_t> ParseSize(std::string_view text);

// "2 GiB", "1.5 MiB", "37 B": at most two decimals, powers of 1024.
std::string FormatSize(uint64_t size_bytes);

// A key as people read it: printable ASCII as it is, other bytes and the backslash as
// \xNN, cut with "..." after `chars_max`.
std::string PrintableKey(std::string_view key, size_t chars_max = 128);

}  // namespace kvasir

#endif  // KVASIR_BASE_BYTES_H_
