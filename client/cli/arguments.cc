#include "client/cli/arguments.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <cmath>

#include "base/bytes.h"
#include "base/limits.h"

namespace kvasir {
namespace {

absl::StatusOr<std::string> Unescape(std::string_view text) {
  std::string key;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      key.push_back(text[i]);
      continue;
    }
    unsigned byte = 0;
    const std::string_view digits = text.size() - i >= 4 ? text.substr(i + 2, 2) : "";
    const auto [rest, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.empty() || text[i + 1] != 'x' || error != std::errc() ||
        rest != digits.data() + digits.size()) {
      return absl::InvalidArgumentError(fmt::format(
          "key \"{}\": a backslash starts a byte in hex, as in \\x0a; write a "
          "backslash itself as \\x5c",
          text));
    }
    key.push_back(static_cast<char>(byte));
    i += 3;
  }
  return key;
}

}  // namespace

absl::StatusOr<std::string> ParsePrefix(std::string_view text) {
  absl::StatusOr<std::string> prefix = Unescape(text);
  if (prefix.ok() && prefix->size() > kMaxKeyBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "prefix of {} bytes: keys have at most {}", prefix->size(), kMaxKeyBytes));
  }
  return prefix;
}

absl::StatusOr<std::string> ParseKey(std::string_view text) {
  absl::StatusOr<std::string> key = Unescape(text);
  if (key.ok() && (key->empty() || key->size() > kMaxKeyBytes)) {
    return absl::InvalidArgumentError(
        fmt::format("key of {} bytes: a key has 1 to {}", key->size(), kMaxKeyBytes));
  }
  return key;
}

absl::StatusOr<std::vector<std::string>> ParseKeys(
    const std::vector<std::string>& texts) {
  std::vector<std::string> keys;
  for (const std::string& text : texts) {
    absl::StatusOr<std::string> key = ParseKey(text);
    if (!key.ok()) return key.status();
    keys.push_back(*std::move(key));
  }
  return keys;
}

absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  struct Unit {
    std::string_view name;
    double milliseconds;
  };
  static constexpr std::array<Unit, 4> kUnits = {
      {{"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}}};
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] =
      std::from_chars(text.data(), end, number, std::chars_format::fixed);
  const std::string_view name(rest, end - rest);
  for (const Unit& unit : kUnits) {
    if (error != std::errc() || unit.name != name) continue;
    const double milliseconds = number * unit.milliseconds;
    if (milliseconds < 1 || milliseconds > 1e12) break;
    return std::chrono::milliseconds(std::llround(milliseconds));
  }
  return absl::InvalidArgumentError(fmt::format(
      "duration \"{}\": want a number of at least 1 ms with a unit, ms, s, m or h",
      text));
}

absl::StatusOr<uint64_t> ParseBlockBytes(std::string_view text) {
  absl::StatusOr<uint64_t> size_bytes = ParseSize(text);
  if (size_bytes.ok() && (*size_bytes == 0 || *size_bytes > kMaxBlockBytes)) {
    return absl::InvalidArgumentError(fmt::format("block of {}: a block has 1 B to {}",
                                                  text, FormatSize(kMaxBlockBytes)));
  }
  return size_bytes;
}

std::string FormatDuration(std::chrono::nanoseconds duration) {
  const double ns = static_cast<double>(duration.count());
  if (ns < 1e6) return fmt::format("{:.0f} us", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.1f} ms", ns / 1e6);
  const int64_t seconds = std::llround(ns / 1e9);
  if (ns < 100e9) return fmt::format("{:.1f} s", ns / 1e9);
  if (seconds < 3600) return fmt::format("{} min {} s", seconds / 60, seconds % 60);
  return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
}

std::string KeyText(std::string_view key) { return PrintableKey(key, SIZE_MAX); }

}  // namespace kvasir
