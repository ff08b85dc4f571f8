#ifndef KVASIR_CLIENT_NODE_CHANNEL_H_
#define KVASIR_CLIENT_NODE_CHANNEL_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/control.h"

namespace kvasir {

// Everything that is said to one node: the control plane of its sessions, and what people
// ask. Thread-safe; nothing is said before the first call.
class NodeChannel : public ControlChannel {
 public:
  virtual absl::Status Ping(Instant deadline) = 0;
  struct ListPage {
    std::vector<std::string> keys;
    std::string next_page_token;  // empty: the last page
  };
  // A page of keys with `prefix`, in byte order. `page_token` from the page before.
  virtual absl::StatusOr<ListPage> List(std::string_view prefix, size_t page_size,
                                        std::string_view page_token, Instant deadline) = 0;
  virtual absl::StatusOr<std::map<std::string, double>> Stats(Instant deadline) = 0;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_NODE_CHANNEL_H_
