#ifndef KVASIR_STORAGE_ARENA_WINDOW_H_
#define KVASIR_STORAGE_ARENA_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace kvasir {

// One slot or free run, in address order without gaps between neighbours.
struct WindowPiece {
  uint64_t units = 0;
  uint64_t cost = 0;  // kImmovablePiece: cannot be part of a window
};
inline constexpr uint64_t kImmovablePiece = std::numeric_limits<uint64_t>::max();

// pieces[first, end), and what freeing them costs in all.
struct WindowRange {
  size_t first = 0;
  size_t end = 0;
  uint64_t cost = kImmovablePiece;
};

// The cheapest run of neighbouring pieces of at least `units` in all; the shortest of
// several equal ones comes first. cost is kImmovablePiece if there is none. Linear in
// the number of pieces.
WindowRange CheapestWindow(std::span<const WindowPiece> pieces, uint64_t units);

}  // namespace kvasir

#endif  // KVASIR_STORAGE_ARENA_WINDOW_H_
