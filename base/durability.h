#ifndef KVASIR_BASE_DURABILITY_H_
#define KVASIR_BASE_DURABILITY_H_

#include <cstdint>

namespace kvasir {

// What an acknowledged put, or a store into a tier, promises to survive: nothing, the
// death of the process, the loss of power.
enum class Durability : uint8_t { kNone, kProcess, kPower };

}  // namespace kvasir

#endif  // KVASIR_BASE_DURABILITY_H_
