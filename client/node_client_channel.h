#ifndef KVASIR_CLIENT_NODE_CLIENT_CHANNEL_H_
#define KVASIR_CLIENT_NODE_CLIENT_CHANNEL_H_

#include <cstddef>
#include <memory>
#include <string>

#include "base/clock.h"
#include "client/node_channel.h"

namespace kvasir {

struct NodeChannelOptions {
  std::string address;  // HOST:PORT or unix:PATH
  // Lanes' control streams are dealt over this many connections.
  size_t connections = 1;
};

// A NodeChannel over gRPC. Does not connect before the first call, and reconnects by
// itself. `clock` must outlive it.
std::unique_ptr<NodeChannel> MakeNodeChannel(const NodeChannelOptions& options,
                                             const Clock* clock);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_NODE_CLIENT_CHANNEL_H_
