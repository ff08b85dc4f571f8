#include <fmt/core.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "service/kv_core.h"
#include "tests/support/core_harness.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kSeeds = 8;
constexpr int kSteps = 1'500;
constexpr int kKeys = 10;

// Random requests, sensible and not, from a few clients that come and go, while time
// passes and fences return late. A model knows the bytes that each key may have.
class RandomClients {
 public:
  explicit RandomClients(uint64_t seed) : random_(seed) {
    for (auto& peer : peers_) peer = node_.MustConnect();
    node_.tcp.HoldFences();
  }

  void Run() {
    for (int step = 0; step < kSteps && !testing::Test::HasFailure(); ++step) Step();
    node_.tcp.ReturnAllFences();
    node_.tcp.PassFences();
    for (int n = 0; n < 600; ++n) node_.Pass(milliseconds(50));
    EXPECT_TRUE(node_.Settled());
    EXPECT_EQ(node_.tcp.lanes(), 0u);
  }
  size_t reads() const { return reads_; }

 private:
  struct Open {
    size_t peer;
    uint64_t lease;
    std::string key;
    std::string bytes;
    bool filled;
  };

  size_t Below(size_t bound) { return random_() % bound; }
  std::string Key() { return "k" + std::to_string(Below(kKeys)); }

  void Step() {
    const size_t who = Below(std::size(peers_));
    CoreHarness::Peer& peer = peers_[who];
    switch (Below(12)) {
      case 0: case 1: case 2: return Reserve(who);
      case 3: case 4: return Finish();
      case 5: case 6: return Read(peer);
      case 7: return Nonsense(peer);
      case 8: return Look(peer);
      case 9: return node_.Pass(milliseconds(Below(800)));
      case 10: return ReturnSomeFence();
      case 11: return Reconnect(peer);
    }
  }

  void Reserve(size_t who) {
    const CoreHarness::Peer& peer = peers_[who];
    v1::GrantWritesRequest request;
    request.set_op_id(Below(3));
    request.set_replace(Below(3) == 0);
    request.set_ttl_ms(Below(3'000));
    v1::WriteIntent* const intent = request.add_writes();
    intent->set_key(Key());
    // Like no other value, so that what memory held before never passes for it.
    const std::string bytes =
        fmt::format("{}:{}", ++values_, std::string(Below(60'000), 'v'));
    intent->set_size_bytes(bytes.size());
    v1::GrantWritesResponse response;
    if (!node_.core.GrantWrites(peer.session, peer.lane, request, &response).ok()) return;
    const v1::WriteGrant& grant = response.grants(0);
    if (grant.lease() == 0) return;
    const bool fills = Below(4) != 0;
    if (fills) {
      EXPECT_TRUE(node_.Fill(peer, grant, bytes).ok());
    }
    open_.push_back({who, grant.lease(), intent->key(), bytes, fills});
  }

  void Finish() {
    if (open_.empty()) return;
    const size_t n = Below(open_.size());
    const Open put = open_[n];
    open_.erase(open_.begin() + static_cast<ptrdiff_t>(n));
    // Now and then somebody else's.
    const CoreHarness::Peer& peer = peers_[Below(8) == 0 ? 0 : put.peer];
    v1::CommitRequest request;
    v1::CommitItem* const item = request.add_items();
    item->set_lease(put.lease);
    item->set_checksum(node_.ChecksumOf(put.key, put.bytes));
    v1::CommitResponse response;
    if (!node_.core.Commit(peer.session, peer.lane, request, &response).ok()) return;
    if (response.outcomes(0) != v1::KEY_OUTCOME_OK) return;
    EXPECT_TRUE(put.filled) << "bytes that never arrived were published";
    stored_[put.key] = put.bytes;
  }

  // A hit has the bytes that were committed last; a miss is always legal.
  void Read(const CoreHarness::Peer& peer) {
    v1::LaneRequest request;
    const std::string key = Key();
    request.mutable_grant_reads()->add_keys(key);
    v1::LaneResponse response;
    node_.core.Handle(peer.session, peer.lane, request, &response, nullptr);
    if (response.grant_reads().grants_size() == 0) return;
    const v1::ReadGrant& grant = response.grant_reads().grants(0);
    if (grant.outcome() != v1::KEY_OUTCOME_OK) return;
    const absl::StatusOr<std::string> bytes = node_.Read(peer, grant);
    ASSERT_TRUE(bytes.ok());
    ASSERT_EQ(*bytes, stored_[key]);
    EXPECT_EQ(grant.checksum(), node_.ChecksumOf(key, *bytes));
    ++reads_;
    if (Below(2) == 0) leases_.push_back(grant.lease());
  }

  void Nonsense(const CoreHarness::Peer& peer) {
    v1::LaneRequest request;
    for (size_t n = Below(4); n > 0; --n) request.add_releases(random_());
    for (const uint64_t lease : std::exchange(leases_, {})) request.add_releases(lease);
    switch (Below(6)) {
      case 0: request.mutable_commit()->add_items()->set_lease(random_() % 4'000); break;
      case 1: request.mutable_abort()->add_leases(random_() % 4'000); break;
      case 2: request.mutable_remove()->add_keys(Key()); break;
      case 3: request.mutable_grant_reads()->add_keys(std::string(Below(2'000), 'x')); break;
      case 4: {
        v1::WriteIntent* const intent = request.mutable_grant_writes()->add_writes();
        intent->set_key(std::string(Below(2'000), 'y'));
        intent->set_size_bytes(random_());
        break;
      }
      case 5: request.mutable_open()->set_hello("again"); break;
    }
    v1::LaneResponse response;
    node_.core.Handle(peer.session, peer.lane, request, &response, nullptr);
  }

  void Look(const CoreHarness::Peer& peer) {
    v1::LookupRequest request;
    for (size_t n = 1 + Below(4); n > 0; --n) request.add_keys(Key());
    if (Below(2) == 0) request.set_pin_owner("o" + std::to_string(Below(3)));
    request.set_pin_ttl_ms(Below(100'000));
    v1::LookupResponse response;
    (void)node_.core.Lookup(peer.session, request, &response);
    v1::UnpinOwnerRequest unpin;
    unpin.set_owner("o" + std::to_string(Below(3)));
    v1::UnpinOwnerResponse unpinned;
    (void)node_.core.UnpinOwner(peer.session, unpin, &unpinned);
  }

  void ReturnSomeFence() {
    const size_t held = node_.tcp.held_fences();
    if (held > 0) node_.tcp.ReturnFence(Below(held));
  }

  void Reconnect(CoreHarness::Peer& peer) {
    if (Below(2) == 0 && node_.core.Heartbeat(peer.session).ok()) {
      node_.core.CloseLane(peer.session, peer.lane);
      peer.lane = node_.MustOpenLane(peer.session);
    } else {
      node_.core.CloseSession(peer.session);
      peer = node_.MustConnect();
    }
  }

  CoreHarness node_;
  std::mt19937_64 random_;
  CoreHarness::Peer peers_[4];
  std::vector<Open> open_;
  std::vector<uint64_t> leases_;
  std::map<std::string, std::string> stored_;
  uint64_t values_ = 0;
  size_t reads_ = 0;
};

TEST(KvCoreRandom, HitsAreWhatWasCommittedAndEveryByteComesBack) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomClients clients(seed);
    clients.Run();
    EXPECT_GT(clients.reads(), 0u);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace kvasir
