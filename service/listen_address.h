#ifndef KVASIR_SERVICE_LISTEN_ADDRESS_H_
#define KVASIR_SERVICE_LISTEN_ADDRESS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace kvasir {

// Where a listener listens. Plain value.
struct ListenAddress {
  std::string host;   // a name or an address, IPv6 without its brackets
  uint16_t port = 0;  // 0: any free one

  // "127.0.0.1:7450", "[::1]:7450", "localhost:0". InvalidArgument names the text.
  static absl::StatusOr<ListenAddress> Parse(std::string_view text);
  std::string ToString() const;

  // Only this machine can reach it: 127.0.0.0/8, ::1 or "localhost".
  bool loopback() const;
  // Every interface: 0.0.0.0 or ::.
  bool wildcard() const;

  friend bool operator==(const ListenAddress&, const ListenAddress&) = default;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_LISTEN_ADDRESS_H_
