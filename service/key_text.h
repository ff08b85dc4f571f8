#ifndef KVASIR_SERVICE_KEY_TEXT_H_
#define KVASIR_SERVICE_KEY_TEXT_H_

#include <string>
#include <string_view>

namespace kvasir {

// Keys as people read and write them. Every key comes back from its own text.
std::string KeyToText(std::string_view key);
// \xNN with two hex digits is one byte; everything else, a lone backslash too, stands
// for itself.
std::string KeyFromText(std::string_view text);

}  // namespace kvasir

#endif  // KVASIR_SERVICE_KEY_TEXT_H_
