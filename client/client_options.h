#ifndef KVASIR_CLIENT_CLIENT_OPTIONS_H_
#define KVASIR_CLIENT_CLIENT_OPTIONS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/options.h"

namespace kvasir {

// One entry of ClientOptions::nodes.
struct NodeAddress {
  std::string name;     // keys are placed by it
  std::string address;  // host:port or unix:path
  std::string host;     // without brackets
};

// "host:port" or "unix:path", which is its own name, or either after "name="; an IPv6 host in
// brackets.
// InvalidArgument otherwise.
absl::StatusOr<NodeAddress> ParseNode(std::string_view text);

// The nodes of `options`. InvalidArgument, naming the option and its value, for options
// that make no sense together or alone.
absl::StatusOr<std::vector<NodeAddress>> CheckOptions(const ClientOptions& options);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLIENT_OPTIONS_H_
