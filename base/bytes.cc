#include "base/bytes.h"

#include <fmt/core.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace kvasir {
namespace {

struct Unit {
  std::string_view name;
  double bytes;
};
constexpr std::array<Unit, 10> kUnits = {{{"", 1},
                                          {"B", 1},
                                          {"KiB", 1024.0},
                                          {"MiB", 1024.0 * 1024},
                                          {"GiB", 1024.0 * 1024 * 1024},
                                          {"TiB", 1024.0 * 1024 * 1024 * 1024},
                                          {"KB", 1e3},
                                          {"MB", 1e6},
                                          {"GB", 1e9},
                                          {"TB", 1e12}}};

absl::Status NotASize(std::string_view text) {
  return absl::InvalidArgumentError(fmt::format(
      "parse size: \"{}\" is not a number with a unit (B, KiB, MiB, GiB, TiB, KB, MB, GB, TB)",
      text));
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

absl::StatusOr<uint64_t> ParseSize(std::string_view text) {
  const std::string_view trimmed = Trim(text);
  double number = 0;
  const char* const end = trimmed.data() + trimmed.size();
  const auto [rest, error] =
      std::from_chars(trimmed.data(), end, number, std::chars_format::fixed);
  if (error != std::errc() || !(number >= 0)) return NotASize(text);
  const std::string_view name = Trim(std::string_view(rest, end - rest));
  for (const Unit& unit : kUnits) {
    if (unit.name != name) continue;
    const double bytes = number * unit.bytes;
    if (bytes != std::floor(bytes)) return NotASize(text);
    if (bytes >= 9223372036854775808.0) {
      return absl::InvalidArgumentError(
          fmt::format("parse size: \"{}\" exceeds 2^63 - 1 bytes", text));
    }
    return static_cast<uint64_t>(bytes);
  }
  return NotASize(text);
}

std::string FormatSize(uint64_t size_bytes) {
  static constexpr std::array<std::string_view, 5> kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(size_bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  std::string number = fmt::format("{:.2f}", value);
  while (number.back() == '0') number.pop_back();
  if (number.back() == '.') number.pop_back();
  return fmt::format("{} {}", number, kNames[unit]);
}

std::string PrintableKey(std::string_view key, size_t chars_max) {
  std::string out;
  for (const char c : key) {
    if (out.size() >= chars_max) return out + "...";
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\') {
      out.push_back(c);
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out;
}

}  // namespace kvasir
