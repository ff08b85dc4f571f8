#ifndef KVASIR_CLIENT_STRIPES_H_
#define KVASIR_CLIENT_STRIPES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace kvasir {

// The part of a batch that goes over one lane: items [first, first + count). Two lanes keep
// two cores busy with hashing and two queue pairs with moving, so kStripesMax is 2: with
// soft-RoCE on two emulated CPUs three and four were slower, puts and gets alike
// (docs/transports.md). On more cores, and on NICs, more has not been measured.
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
