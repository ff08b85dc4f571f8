#ifndef KVASIR_TESTS_CLIENT_FAKE_NODE_H_
#define KVASIR_TESTS_CLIENT_FAKE_NODE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/node_channel.h"
#include "kvasir/v1/kv.pb.h"
#include "rdma/transport.h"
#include "tests/support/manual_clock.h"

namespace kvasir {

// A node in a test's hand: blocks in a map, one transport, and a hook at each step where
// something can go wrong. It does what it is asked, without any rule of its own: rules
// that hold in a test are the client's. Not thread-safe.
class FakeNode {
 public:
  struct Block {
    std::string bytes;
    std::string attributes;
    uint64_t checksum = 0;
  };

  explicit FakeNode(TransportKind kind = TransportKind::kShm) : kind_(kind) {}

  // Stores a block as if a client had put it.
  void Store(const std::string& key, std::string_view bytes, std::string_view attributes = {});

  std::unique_ptr<ControlStream> OpenStream();
  std::unique_ptr<ClientTransport> MakeTransport();
  std::unique_ptr<NodeChannel> MakeChannel();

  ManualClock clock;
  std::map<std::string, Block> blocks;
  std::map<uint64_t, std::string> open_writes;  // lease -> key, granted and not ended
  std::set<uint64_t> open_reads;
  std::vector<uint64_t> aborted;
  std::vector<v1::LaneRequest> requests;  // all of them, in order
  int streams_open = 0;
  int lanes_open = 0;
  uint32_t ttl_ms = 5'000;  // granted, whatever was asked for
  bool lanes_time_out = true;

  // Runs on every request before it is served; not OK: the stream breaks with it.
  std::function<absl::Status(const v1::LaneRequest&)> on_request;
  // May change a response on its way back.
  std::function<void(v1::LaneResponse*)> on_response;
  // Runs after the bytes of a batch have moved, and may change what came of it.
  std::function<void(std::span<Transfer>)> on_moved;
  // Why lanes cannot be opened.
  absl::Status connect_status;
  // Lanes carry messages. Of `requests`, those that came as such; how many Receives end
  // without the answer first; what may change its bytes.
  bool carries_messages = false;
  std::vector<v1::LaneRequest> messages;
  int answers_late = 0;
  std::function<void(std::string*)> on_answer;
  // Slices must lie in memory that was registered, as with a NIC.
  bool needs_registration = false;

  // Sessions: what OpenSession answers, and what it has been asked.
  absl::Status session_status;
  std::vector<v1::TransportKind> offered;  // empty: the one transport of this node
  uint64_t epoch = 1;
  int sessions_opened = 0;
  int sessions_closed = 0;
  absl::Status beat_status;
  bool draining = false;
  int beats = 0;
  int heartbeats_open = 0;

  // For the parts that MakeChannel and its like hand out.
  absl::Status Serve(const v1::LaneRequest& request, v1::LaneResponse* response);
  void Move(Transfer* transfer);
  bool IsRegistered(std::span<const std::byte> slice) const;
  std::multimap<const std::byte*, size_t> registered;
  TransportKind kind() const { return kind_; }

 private:
  void GrantReads(const v1::GrantReadsRequest& request, v1::GrantReadsResponse* response);
  void GrantWrites(const v1::GrantWritesRequest& request, v1::GrantWritesResponse* response);
  void Commit(const v1::CommitRequest& request, v1::CommitResponse* response);

  const TransportKind kind_;
  uint64_t last_lease_ = 0;
  std::map<uint64_t, Block> filling_;           // by write lease
  std::map<uint64_t, std::string> read_bytes_;  // by read lease
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_CLIENT_FAKE_NODE_H_
