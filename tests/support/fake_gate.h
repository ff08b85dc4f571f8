#ifndef KVASIR_TESTS_SUPPORT_FAKE_GATE_H_
#define KVASIR_TESTS_SUPPORT_FAKE_GATE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "base/region.h"
#include "rdma/token.h"
#include "rdma/transport.h"

namespace kvasir {

// A Gate over a region of its own, with the rules of the real one and without a block
// store: a test grants extents and ends them. Each grant takes fresh memory until Reset.
// Thread-safe; the bytes are the test's affair.
class FakeGate final : public Gate {
 public:
  struct GrantOptions {
    SessionId session;
    LaneId lane{};
    Access access = Access::kRead;
    uint64_t size_bytes = 0;
    uint64_t checksum_seed = 0;  // of a write
  };

  explicit FakeGate(uint64_t region_bytes, Epoch epoch = Epoch{0x5eed});
  // `region` is not owned and must outlive the gate: to fault pages in takes long.
  explicit FakeGate(const Region* region, Epoch epoch = Epoch{0x5eed});
  ~FakeGate() override;

  const Region& region() const { return *region_; }
  const TokenSealer& sealer() const { return sealer_; }

  // REQUIRES: the region has that much memory left.
  Token Grant(const GrantOptions& options) ABSL_LOCKS_EXCLUDED(mu_);
  // The same as Push takes it.
  static ServerTransport::PushItem PushItemOf(const Token& token);
  std::span<std::byte> Bytes(const Token& token) const;
  // From now on the lease admits nothing. Copies under way go on, as under the real
  // gate: it is a fence that waits for them.
  void End(LeaseId lease) ABSL_LOCKS_EXCLUDED(mu_);
  void EndAll() ABSL_LOCKS_EXCLUDED(mu_);
  // Hands out the region's memory from its start again; leases stay as they are.
  void Rewind() ABSL_LOCKS_EXCLUDED(mu_);
  // EndAll, and hands out the region's memory from its start again.
  void Reset() ABSL_LOCKS_EXCLUDED(mu_);

  // Runs `hook` inside every admitted copy from now on, before it; null: no more.
  void OnAdmit(std::function<void()> hook) ABSL_LOCKS_EXCLUDED(mu_);

  uint64_t admitted() const ABSL_LOCKS_EXCLUDED(mu_);
  // Waits until that many copies have been admitted; false if `wait_max` ends first.
  bool AwaitAdmitted(uint64_t count, std::chrono::milliseconds wait_max) const
      ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t refused() const ABSL_LOCKS_EXCLUDED(mu_);
  // What SetObservedChecksum said last.
  std::optional<uint64_t> observed_checksum(LeaseId lease) const ABSL_LOCKS_EXCLUDED(mu_);

  absl::Status Admit(SessionId session, LaneId lane, std::string_view sealed, Access access,
                     uint64_t offset_bytes, uint64_t size_bytes,
                     absl::FunctionRef<absl::Status(std::span<std::byte>)> copy) override
      ABSL_LOCKS_EXCLUDED(mu_);
  void SetObservedChecksum(LeaseId lease, uint64_t checksum) override
      ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t ChecksumSeedOf(LeaseId lease) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Lease {
    uint64_t checksum_seed = 0;
    std::optional<uint64_t> observed_checksum;
  };

  const std::unique_ptr<Region> owned_region_;
  const Region* const region_;
  const TokenSealer sealer_;
  mutable absl::Mutex mu_;
  absl::flat_hash_map<LeaseId, Lease> leases_ ABSL_GUARDED_BY(mu_);
  uint64_t next_lease_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t next_offset_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t admitted_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t refused_ ABSL_GUARDED_BY(mu_) = 0;
  std::function<void()> on_admit_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_FAKE_GATE_H_
