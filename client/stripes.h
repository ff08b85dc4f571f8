#ifndef KVASIR_CLIENT_STRIPES_H_
#define KVASIR_CLIENT_STRIPES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace kvasir {

// Lanes that one batch may use at a time. Two keep two cores busy with hashing and two
// queue pairs with moving; what more would give was not seen anywhere yet.
inline constexpr size_t kStripesMax = 2;
// A part of a batch with less than this is not worth the waking of a thread.
inline constexpr uint64_t kStripeBytesMin = 2 * 1024 * 1024;

// The part of a batch that goes over one lane: items [first, first + count).
struct Stripe {
  size_t first = 0;
  size_t count = 0;
  bool operator==(const Stripe&) const = default;
};

// Cuts a batch of items of sizes_bytes[n] into at most `stripes_max` stripes, in order, of
// about the same number of bytes, at least kStripeBytesMin a stripe on average. One stripe
// of all if there is nothing to gain; none of them is empty unless the batch is.
// REQUIRES: stripes_max > 0.
std::vector<Stripe> CutStripes(std::span<const uint64_t> sizes_bytes, size_t stripes_max);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_STRIPES_H_
