#ifndef KVASIR_BASE_COUNT_TEXT_H_
#define KVASIR_BASE_COUNT_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace kvasir {

// "1 block", "2 blocks", for people. `noun` is one, and takes an s for more.
std::string CountText(uint64_t count, std::string_view noun);

}  // namespace kvasir

#endif  // KVASIR_BASE_COUNT_TEXT_H_
