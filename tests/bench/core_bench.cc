#include <fmt/core.h>
#include <time.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/deadlock_detection.h"
#include "base/limits.h"
#include "kvasir/v1/kv.pb.h"
#include "rdma/token.h"
#include "tests/bench/measure.h"
#include "tests/support/core_harness.h"

// What the core itself costs, without gRPC, threads or bytes: calls of 64 keys of 80
// bytes through Handle with messages that are used again, as a lane's stream does, and
// the steps that a grant is made of.
namespace kvasir::bench {
namespace {

constexpr int kKeys = 64;
constexpr int kRounds = 7;

std::string KeyOf(int n) { return fmt::format("{:080}", n); }

// Of this thread's own time on the processor: nothing here waits, so what the rest of the
// machine does stays out of it.
double ProcessorSeconds() {
  timespec now;
  KV_CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Nanoseconds of one call, the median of kRounds runs of `calls` each.
double Nanoseconds(int calls, const std::function<void()>& call) {
  std::vector<double> figures;
  for (int round = 0; round <= kRounds; ++round) {
    const double begin = ProcessorSeconds();
    for (int n = 0; n < calls; ++n) call();
    const double seconds = ProcessorSeconds() - begin;
    if (round > 0) figures.push_back(seconds / calls * 1e9);  // The first warms up.
  }
  return Median(figures);
}

void Print(std::string_view what, double nanoseconds, int keys) {
  fmt::print("{:<44} {:>9.0f} ns {:>7.1f} ns/key\n", what, nanoseconds, nanoseconds / keys);
}

class CoreBench {
 public:
  CoreBench() : peer_(node_.MustConnect()) {
    for (int n = 0; n < kKeys; ++n) node_.MustPut(peer_, KeyOf(n), "bytes");
  }

  void Run() {
    Lookups(kKeys, "", "Lookup, 64 hits");
    Lookups(1, "", "Lookup, 1 hit");
    Lookups(kKeys, "owner", "Lookup, 64 hits, pinned for an owner again");
    Reads();
    Writes();
    Steps();
  }

 private:
  const v1::LaneResponse& Handle() {
    node_.core.Handle(peer_.session, peer_.lane, request_, &response_, nullptr);
    KV_CHECK(!response_.has_error());
    return response_;
  }

  void Lookups(int keys, std::string_view owner, std::string_view what) {
    v1::LookupRequest* const lookup = request_.mutable_lookup();
    lookup->Clear();
    for (int n = 0; n < keys; ++n) lookup->add_keys(KeyOf(n));
    lookup->set_pin_owner(std::string(owner));
    const double figure = Nanoseconds(2'000, [this] { (void)Handle(); });
    KV_CHECK(response_.lookup().prefix_count() == static_cast<uint32_t>(keys));
    Print(what, figure, keys);
  }

  void Reads() {
    v1::GrantReadsRequest* const grant = request_.mutable_grant_reads();
    for (int n = 0; n < kKeys; ++n) grant->add_keys(KeyOf(n));
    const double figure = Nanoseconds(500, [this] {
      const v1::GrantReadsResponse& response = Handle().grant_reads();
      request_.clear_releases();
      for (const v1::ReadGrant& one : response.grants()) request_.add_releases(one.lease());
    });
    KV_CHECK(node_.core.stats().read_leases == kKeys);
    Print("GrantReads of 64, with releases of 64", figure, kKeys);
  }

  void Writes() {
    request_.Clear();
    v1::LaneRequest abort;
    for (int n = 0; n < kKeys; ++n) {
      v1::WriteIntent* const intent = request_.mutable_grant_writes()->add_writes();
      intent->set_key(KeyOf(1'000 + n));
      intent->set_size_bytes(4 * kKiB);
    }
    const double figure = Nanoseconds(200, [&] {
      abort.mutable_abort()->clear_leases();
      for (const v1::WriteGrant& one : Handle().grant_writes().grants()) {
        abort.mutable_abort()->add_leases(one.lease());
      }
      node_.core.Handle(peer_.session, peer_.lane, abort, &response_, nullptr);
    });
    KV_CHECK(node_.Settled() || node_.core.stats().write_leases == 0);
    Print("GrantWrites of 64, then Abort of them", figure, kKeys);
  }

  void Steps() {
    const BlockRef block = *node_.store.Peek(KeyOf(0));
    const LeaseTable::Holder holder{peer_.session, peer_.lane};
    const Instant expiry = node_.clock.Now() + kDefaultLeaseTtl;
    const TokenClaims claims{.session = peer_.session, .lane = peer_.lane};
    Print("of which: seal a token",
          Nanoseconds(20'000, [&] { (void)node_.sealer.Seal(claims); }), 1);
    const std::string sealed = node_.sealer.Seal(claims);
    Print("check a token (HMAC-SHA-256)",
          Nanoseconds(20'000, [&] { KV_CHECK(node_.sealer.Open(sealed).ok()); }), 1);
    Print("of which: grant a read lease and release it", Nanoseconds(20'000, [&] {
            const auto granted = node_.leases.GrantRead(holder, block.Share(), expiry);
            const uint64_t id = uint64_t(granted->lease);
            node_.leases.Release(peer_.session, {&id, 1});
          }),
          1);
    const auto granted = node_.leases.GrantRead(holder, block.Share(), expiry);
    Print("admit a piece of a read", Nanoseconds(20'000, [&] {
            KV_CHECK(node_.leases
                         .Admit(peer_.session, peer_.lane, granted->sealed, Access::kRead, 0,
                                1, [](std::span<std::byte>) { return absl::OkStatus(); })
                         .ok());
          }),
          1);
  }

  CoreHarness node_;
  const CoreHarness::Peer peer_;
  v1::LaneRequest request_;
  v1::LaneResponse response_;
};

}  // namespace
}  // namespace kvasir::bench

int main() {
  kvasir::StopDeadlockDetection();
  kvasir::bench::CoreBench().Run();
  return 0;
}
