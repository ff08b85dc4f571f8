#include "base/random.h"

#include <sys/random.h>

#include <cerrno>

#include "base/check.h"

namespace kvasir {

void SecureRandom(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t n = getrandom(out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    KV_CHECK(n > 0);
    out = out.subspan(static_cast<size_t>(n));
  }
}

uint64_t SecureRandom64() {
  uint64_t value;
  SecureRandom(std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

}  // namespace kvasir
