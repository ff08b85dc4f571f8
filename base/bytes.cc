#include "base/bytes.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <system_error>

namespace kvasir {
namespace {

struct Unit {
  std::string_view name;
  uint64_t bytes;
};
constexpr std::array<Unit, 10> kUnits = {{{"", 1},
                                          {"B", 1},
                                          {"KiB", uint64_t{1} << 10},
                                          {"MiB", uint64_t{1} << 20},
                                          {"GiB", uint64_t{1} << 30},
                                          {"TiB", uint64_t{1} << 40},
                                          {"KB", 1'000},
                                          {"MB", 1'000'000},
                                          {"GB", 1'000'000'000},
                                          {"TB", 1'000'000'000'000}}};
constexpr uint64_t kLargestSize = std::numeric_limits<int64_t>::max();

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

absl::Status TooLarge(std::string_view text) {
  return absl::InvalidArgumentError(
      fmt::format("parse size: \"{}\" exceeds 2^63 - 1 bytes", text));
}

std::string_view TakeDigits(std::string_view* text) {
  const size_t n = std::min(text->find_first_not_of("0123456789"), text->size());
  const std::string_view digits = text->substr(0, n);
  text->remove_prefix(n);
  return digits;
}

// The bytes in "0.`digits`" of a unit; nothing if that is not a whole number. Goes from
// the last digit, where a sum that is whole in the end is whole at every step.
std::optional<uint64_t> FractionBytes(std::string_view digits, uint64_t unit_bytes) {
  uint64_t bytes = 0;
  for (; !digits.empty(); digits.remove_suffix(1)) {
    bytes += static_cast<uint64_t>(digits.back() - '0') * unit_bytes;
    if (bytes % 10 != 0) return std::nullopt;
    bytes /= 10;
  }
  return bytes;
}

}  // namespace

absl::StatusOr<uint64_t> ParseSize(std::string_view text) {
  std::string_view rest = Trim(text);
  const std::string_view whole_digits = TakeDigits(&rest);
  std::string_view fraction_digits;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    fraction_digits = TakeDigits(&rest);
  }
  if (whole_digits.empty() && fraction_digits.empty()) return NotASize(text);
  const std::string_view name = Trim(rest);
  const auto unit = std::find_if(kUnits.begin(), kUnits.end(),
                                 [&](const Unit& known) { return known.name == name; });
  if (unit == kUnits.end()) return NotASize(text);
  const std::optional<uint64_t> fraction = FractionBytes(fraction_digits, unit->bytes);
  if (!fraction.has_value()) return NotASize(text);
  uint64_t whole = 0;
  const auto [end, error] = std::from_chars(
      whole_digits.data(), whole_digits.data() + whole_digits.size(), whole);
  if (error == std::errc::result_out_of_range) return TooLarge(text);
  if (whole > (kLargestSize - *fraction) / unit->bytes) return TooLarge(text);
  return whole * unit->bytes + *fraction;
}

std::string FormatSize(uint64_t size_bytes) {
  static constexpr std::array<std::string_view, 5> kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(size_bytes);
  size_t unit = 0;
  // Not 1024: what two decimals would round up to it belongs to the next unit.
  while (value >= 1023.995 && unit + 1 < kNames.size()) {
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
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x20 && byte < 0x7f && c != '\\';
    if (out.size() + (plain ? 1 : 4) > chars_max) return out + "...";
    if (plain) {
      out.push_back(c);
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out;
}

}  // namespace kvasir
