#include "base/count_text.h"

#include <fmt/core.h>

namespace kvasir {

std::string CountText(uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace kvasir
