#include "service/key_text.h"

#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/limits.h"

namespace kvasir {
namespace {

bool IsEscape(std::string_view text) {
  const auto hex = [text](size_t i) {
    return std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
  };
  return text.size() >= 4 && text[0] == '\\' && text[1] == 'x' && hex(2) && hex(3);
}

}  // namespace

std::string KeyToText(std::string_view key) {
  return PrintableKey(key, 4 * kMaxKeyBytes);
}

std::string KeyFromText(std::string_view text) {
  std::string key;
  while (!text.empty()) {
    if (!IsEscape(text)) {
      key.push_back(text.front());
      text.remove_prefix(1);
      continue;
    }
    uint8_t byte = 0;
    std::from_chars(text.data() + 2, text.data() + 4, byte, 16);
    key.push_back(static_cast<char>(byte));
    text.remove_prefix(4);
  }
  return key;
}

}  // namespace kvasir
