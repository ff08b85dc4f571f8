#include "storage/arena_window.h"

namespace kvasir {

WindowRange CheapestWindow(std::span<const WindowPiece> pieces, uint64_t units) {
  WindowRange best;
  size_t first = 0;
  uint64_t window_units = 0;
  uint64_t window_cost = 0;
  for (size_t end = 0; end < pieces.size(); ++end) {
    if (pieces[end].cost == kImmovablePiece) {
      first = end + 1;
      window_units = 0;
      window_cost = 0;
      continue;
    }
    window_units += pieces[end].units;
    window_cost += pieces[end].cost;
    // Drop what the window can do without; what is left cannot be cheaper.
    while (window_units - pieces[first].units >= units) {
      window_units -= pieces[first].units;
      window_cost -= pieces[first].cost;
      ++first;
    }
    if (window_units >= units && window_cost < best.cost) {
      best = {.first = first, .end = end + 1, .cost = window_cost};
    }
  }
  return best;
}

}  // namespace kvasir
