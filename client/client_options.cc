#include "client/client_options.h"

#include <fmt/core.h>

#include <charconv>
#include <cstdint>
#include <set>

#include "base/limits.h"
#include "rdma/verbs_options.h"

namespace kvasir {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";

absl::Status Bad(std::string message) {
  return absl::InvalidArgumentError("connect client: " + message);
}

bool IsPort(std::string_view text) {
  uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port > 0 &&
         port <= 65'535;
}

absl::Status CheckNumbers(const ClientOptions& options) {
  if (options.timeout.count() <= 0) {
    return Bad(fmt::format("timeout is {} ms", options.timeout.count()));
  }
  if (options.connect_timeout.count() <= 0) {
    return Bad(fmt::format("connect_timeout is {} ms", options.connect_timeout.count()));
  }
  if (options.lanes_per_node < 1 || options.lanes_per_node > kMaxLanesPerSession) {
    return Bad(fmt::format("lanes_per_node is {}, 1 to {} are possible",
                           options.lanes_per_node, kMaxLanesPerSession));
  }
  if (options.staging_buffers < 1 || options.staging_buffer_bytes < 1) {
    return Bad(fmt::format("staging is {} buffers of {} bytes", options.staging_buffers,
                           options.staging_buffer_bytes));
  }
  if (const auto devices = ParseVerbsDevices(options.rdma_device); !devices.ok()) {
    return Bad(fmt::format("rdma_device {}", std::string(devices.status().message())));
  }
  if (options.client_name.size() > kMaxClientNameBytes) {
    return Bad(fmt::format("client_name has {} bytes, at most {}", options.client_name.size(),
                           kMaxClientNameBytes));
  }
  return absl::OkStatus();
}

// A node on this host, whose tcp transport, if it has one, is here as well.
absl::StatusOr<NodeAddress> ParseUnixNode(std::string_view name, std::string_view address) {
  const std::string_view path = address.substr(kUnixPrefix.size());
  if (!path.starts_with('/') || path.size() > kMaxSocketPathBytes) {
    return Bad(fmt::format("node \"{}\" is no absolute path of at most {} bytes", address,
                           kMaxSocketPathBytes));
  }
  return NodeAddress{std::string(name), std::string(address), "127.0.0.1"};
}

}  // namespace

absl::StatusOr<NodeAddress> ParseNode(std::string_view text) {
  if (text.starts_with(kUnixPrefix)) return ParseUnixNode(text, text);
  const size_t equals = text.find('=');
  const std::string_view address =
      equals == std::string_view::npos ? text : text.substr(equals + 1);
  const std::string_view name =
      equals == std::string_view::npos ? text : text.substr(0, equals);
  if (address.starts_with(kUnixPrefix) && !name.empty()) return ParseUnixNode(name, address);
  const size_t colon = address.rfind(':');
  std::string_view host = address.substr(0, colon == std::string_view::npos ? 0 : colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    host = {};  // An IPv6 address without brackets: which colon is the port's?
  }
  if (name.empty() || host.empty() || !IsPort(address.substr(colon + 1))) {
    return Bad(
        fmt::format("node \"{}\" is neither HOST:PORT nor unix:PATH, nor NAME= and one", text));
  }
  return NodeAddress{std::string(name), std::string(address), std::string(host)};
}

absl::StatusOr<std::vector<NodeAddress>> CheckOptions(const ClientOptions& options) {
  if (absl::Status status = CheckNumbers(options); !status.ok()) return status;
  if (options.nodes.empty()) return Bad("there are no nodes");
  std::vector<NodeAddress> nodes;
  std::set<std::string> names;
  for (const std::string& text : options.nodes) {
    absl::StatusOr<NodeAddress> node = ParseNode(text);
    if (!node.ok()) return node.status();
    if (!names.insert(node->name).second) {
      return Bad(fmt::format("two nodes are named {}", node->name));
    }
    nodes.push_back(*std::move(node));
  }
  return nodes;
}

}  // namespace kvasir
