#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/limits.h"
#include "service/kv_core.h"
#include "tests/support/core_harness.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

constexpr int kClients = 6;
constexpr int kRounds = 150;
constexpr int kKeys = 12;

std::string ValueOf(int key) {
  return std::string(40'000 + key * 1'000, 'a' + key);
}

// One round of a client's work on one lane, with every byte it reads checked. A call may
// be refused, because the node shuts sessions at any moment; bytes may not be wrong.
class Worker {
 public:
  Worker(CoreHarness* node, int number) : node_(node), number_(number) {}

  void Run() {
    for (int round = 0; round < kRounds; ++round) {
      const CoreHarness::Peer peer = node_->MustConnect();
      const int key = (number_ + round) % kKeys;
      Put(peer, key, round);
      Get(peer, (key + 1) % kKeys);
      Pin(peer, key);
      if (round % 3 == 0) node_->core.CloseLane(peer.session, peer.lane);
      if (round % 2 == 0) node_->core.CloseSession(peer.session);
    }
  }
  int hits() const { return hits_; }

 private:
  void Put(const CoreHarness::Peer& peer, int key, int round) {
    v1::GrantWritesRequest request;
    request.set_op_id(round + 1);
    request.set_replace(round % 5 == 0);
    request.add_writes()->set_key("k" + std::to_string(key));
    const std::string value = ValueOf(key);
    request.mutable_writes(0)->set_size_bytes(value.size());
    v1::GrantWritesResponse response;
    if (!node_->core.GrantWrites(peer.session, peer.lane, request, &response).ok()) return;
    const v1::WriteGrant& grant = response.grants(0);
    if (grant.lease() == 0 || !node_->Fill(peer, grant, value).ok()) return;
    if (round % 7 == 0) return;  // Left to expire.
    v1::CommitRequest commit;
    commit.add_items()->set_lease(grant.lease());
    const uint64_t checksum = node_->ChecksumOf(request.writes(0).key(), value);
    commit.mutable_items(0)->set_checksum(round % 11 == 0 ? 1 : checksum);
    v1::CommitResponse committed;
    (void)node_->core.Commit(peer.session, peer.lane, commit, &committed);
  }

  void Get(const CoreHarness::Peer& peer, int key) {
    v1::LaneRequest request;
    request.mutable_grant_reads()->add_keys("k" + std::to_string(key));
    v1::LaneResponse response;
    node_->core.Handle(peer.session, peer.lane, request, &response, nullptr);
    if (response.grant_reads().grants_size() == 0) return;
    const v1::ReadGrant& grant = response.grant_reads().grants(0);
    if (grant.outcome() != v1::KEY_OUTCOME_OK) return;
    const absl::StatusOr<std::string> bytes = node_->Read(peer, grant);
    if (!bytes.ok()) return;
    EXPECT_EQ(*bytes, ValueOf(key));
    ++hits_;
    v1::ReleaseRequest release;
    release.add_leases(grant.lease());
    v1::ReleaseResponse released;
    (void)node_->core.Release(peer.session, release, &released);
  }

  void Pin(const CoreHarness::Peer& peer, int key) {
    v1::LookupRequest request;
    request.add_keys("k" + std::to_string(key));
    request.set_pin_owner("owner");
    v1::LookupResponse response;
    (void)node_->core.Lookup(peer.session, request, &response);
  }

  CoreHarness* const node_;
  const int number_;
  int hits_ = 0;
};

TEST(KvCoreConcurrent, ClientsComeAndGoAndNothingOfThemStays) {
  CoreHarness node({.arena_bytes = 2 * kMiB});
  std::atomic<bool> stop{false};
  // Time, expiry and eviction go on beside the clients.
  std::thread crank([&] {
    while (!stop) {
      node.Pass(milliseconds(20));
      (void)node.store.Evict(64 * kKiB);
      (void)node.core.stats();
      std::this_thread::yield();
    }
  });
  std::vector<Worker> workers;
  for (int n = 0; n < kClients; ++n) workers.emplace_back(&node, n);
  std::vector<std::thread> threads;
  for (Worker& worker : workers) threads.emplace_back([&worker] { worker.Run(); });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  crank.join();
  int hits = 0;
  for (const Worker& worker : workers) hits += worker.hits();
  EXPECT_GT(hits, 0);
  for (int n = 0; n < 600; ++n) node.Pass(milliseconds(50));
  EXPECT_EQ(node.core.stats().sessions, 0u);
  EXPECT_EQ(node.tcp.lanes(), 0u);
  EXPECT_TRUE(node.Settled());
}

// Fences return on another thread, while calls and expiry go on.
TEST(KvCoreConcurrent, FencesReturnOnOtherThreads) {
  CoreHarness node({.arena_bytes = 2 * kMiB});
  node.tcp.HoldFences();
  std::atomic<bool> stop{false};
  std::thread fences([&] {
    while (!stop) {
      if (node.tcp.held_fences() > 0) node.tcp.ReturnFence(node.tcp.held_fences() / 2);
      node.Pass(milliseconds(20));
      std::this_thread::yield();
    }
  });
  std::vector<Worker> workers;
  for (int n = 0; n < 3; ++n) workers.emplace_back(&node, n);
  std::vector<std::thread> threads;
  for (Worker& worker : workers) threads.emplace_back([&worker] { worker.Run(); });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  fences.join();
  for (int n = 0; n < 600; ++n) node.Pass(milliseconds(50));
  node.tcp.ReturnAllFences();
  EXPECT_TRUE(node.Settled());
  EXPECT_EQ(node.core.stats().oldest_fence, milliseconds(0));
}

}  // namespace
}  // namespace kvasir
