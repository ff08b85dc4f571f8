#ifndef KVASIR_TESTS_SIMULATION_TOKEN_PUT_H_
#define KVASIR_TESTS_SIMULATION_TOKEN_PUT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "client/control.h"
#include "kvasir/v1/kv.pb.h"
#include "rdma/transport.h"

namespace kvasir::sim {

// A put of one block by a client that speaks the protocol by hand and finishes on a
// second lane what its first one did not. S2 is a rule for clients too, for no NIC looks
// at a token: what was granted on the first lane is void, and the second asks anew. With
// the rule off it goes on with the old token there. client/lane_client.h cannot even do
// that, for its tokens end with it.
class TokenPut {
 public:
  using OpenStream = absl::FunctionRef<std::unique_ptr<ControlStream>()>;
  struct Client {
    SessionId session;
    ClientTransport* transport = nullptr;
    const Clock* clock = nullptr;
  };
  struct Block {
    std::string key;
    std::string bytes;
    uint64_t op_id = 0;
  };

  TokenPut(const Client& client, Block block)
      : client_(client), block_(std::move(block)) {}

  // OK if the block was committed. The first lane gets up to `first`, the rest has until
  // `deadline`.
  absl::Status Run(OpenStream open_stream, Instant first, Instant deadline);

 private:
  struct OpenedLane {
    std::unique_ptr<ControlStream> stream;
    std::unique_ptr<Lane> lane;  // after the stream: it goes first
  };

  absl::StatusOr<OpenedLane> Open(OpenStream open_stream, Instant deadline);
  absl::Status Grant(OpenedLane* on, Instant deadline);
  absl::Status Write(OpenedLane* on, Instant deadline);
  absl::Status Commit(OpenedLane* on, Instant deadline);

  const Client client_;
  Block block_;
  Token token_;
  Instant lease_deadline_;
  uint64_t checksum_ = 0;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_TOKEN_PUT_H_
