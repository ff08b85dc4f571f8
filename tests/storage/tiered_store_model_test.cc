#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/checksum.h"
#include "base/limits.h"
#include "base/region.h"
#include "storage/tiered_store.h"
#include "tests/storage/described_bytes.h"
#include "tests/support/fake_tier.h"
#include "tests/support/flaky_tier.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"

// A tiered store against a map that says what each key may be: now, and after a crash.
namespace kvasir {
namespace {

constexpr uint64_t kArenaBytes = kMiB;
constexpr uint64_t kBlock = kArenaBytes / 16;
constexpr int kKeys = 12;

class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed) { Boot(); }
  ~Model() { Die(); }

  void Run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) OneStep();
  }
  uint64_t crashes() const { return crashes_; }
  uint64_t hits() const { return hits_; }
  uint64_t promotions() const { return promotions_; }
  uint64_t made_durable() const { return made_durable_; }

 private:
  // Versions are numbers of puts; 0 is a miss.
  struct Key {
    uint64_t now = 0;
    // What it is if the last put fails, durable as that was to be: what it was before.
    std::set<uint64_t> before = {};
    bool must_hit = false;             // its block is durable, and so on disk
    bool must_hit_before = false;      // as it was before the last put
    std::set<uint64_t> after = {0};    // what a crash may leave
    uint64_t open = 0;                 // settlement of the last put
    Durability durability = Durability::kNone;  // of the last put
  };

  void Boot() {
    arena_ = std::make_unique<Arena>(region_.get());
    store_ = std::make_unique<TieredStore>(arena_.get(), TieredStore::Options(), &clock_,
                                           &writes_, &loads_);
    store_->Attach(&tier_);
  }
  void Die() {
    // Tasks that never run hold nothing of the store: they are dropped before it.
    writes_.DropAll();
    loads_.DropAll();
    store_.reset();
  }

  std::string SomeKey() { return "k" + std::to_string(random_() % kKeys); }

  void OneStep() {
    const uint64_t draw = random_() % 100;
    if (draw < 25) return Put(SomeKey());
    if (draw < 45) return Get(SomeKey());
    if (draw < 52) return Remove(SomeKey());
    if (draw < 55) return MakeDurable(SomeKey());
    if (draw < 60) return (void)store_->Promote(SomeKey(), {});
    if (draw < 70) return (void)writes_.RunOne();
    if (draw < 80) return (void)loads_.RunOne();
    if (draw < 88) return store_->Step();
    if (draw < 94) return (void)store_->memory()->Evict(kBlock * (random_() % 8));
    if (draw < 96) return (void)store_->SaveStep();
    if (draw < 98) return Fault();
    if (random_() % 4 == 0) Crash();
  }

  // The disk fails for a while, or is well again.
  void Fault() {
    const bool fails = random_() % 3 == 0;
    const absl::Status fault = fails ? absl::UnavailableError("EIO") : absl::OkStatus();
    tier_.FailStores(fault);
    tier_.FailDeletes(random_() % 2 == 0 ? fault : absl::OkStatus());
    clock_.Advance(kTierProbeInterval);
  }

  void Put(const std::string& name) {
    Key& key = keys_[name];
    Settle(&key);
    const bool replace = random_() % 2 == 0;
    const auto durability = static_cast<Durability>(random_() % 3);
    if (durability != Durability::kNone && !store_->CheckDurable(kBlock).ok()) return;
    absl::StatusOr<Reservation> made =
        store_->Reserve(name, {.size_bytes = kBlock, .replace = replace});
    if (!made.ok()) return;
    const uint64_t version = ++last_version_;
    DescribedBytes(name, version).Fill(made->bytes());
    const uint64_t checksum = BlockChecksum(ChecksumSeed(name), made->bytes());
    versions_[checksum] = version;
    const absl::StatusOr<uint64_t> committed =
        store_->Commit(*std::move(made), checksum, durability);
    ASSERT_TRUE(committed.ok()) << committed.status().ToString();
    // Only a put that replaces may win over a block that is there.
    EXPECT_TRUE(replace || !key.must_hit) << name;
    if (key.open == 0) key.must_hit_before = key.must_hit;
    if (durability == Durability::kNone) {
      key.before.clear();
      key.must_hit_before = false;
    } else {
      key.before.insert(key.now);
    }
    key.now = version;
    key.must_hit = false;
    key.open = *committed;
    key.durability = durability;
    key.after.insert({0, version});
    if (key.open == 0) key.after = {0, version};
  }

  // As a put that finds the key stored. Waits for it, so that the last put is settled too.
  void MakeDurable(const std::string& name) {
    Key& key = keys_[name];
    const auto durability = static_cast<Durability>(1 + random_() % 2);
    const absl::StatusOr<uint64_t> settlement = store_->MakeDurable(name, durability);
    writes_.RunAll();
    Settle(&key);
    const bool durable = settlement.ok() &&
                         (*settlement == 0 || store_->settlements()->Result(*settlement)->ok());
    if (!durable) return;
    ++made_durable_;
    const uint64_t found = Read(name);
    EXPECT_TRUE(found == key.now || key.before.contains(found)) << name;
    key = {.now = found, .must_hit = true, .after = {found}};
  }

  // Takes in what the last put has come to.
  void Settle(Key* key) {
    if (key->open == 0) return;
    const std::optional<absl::Status> result = store_->settlements()->Result(key->open);
    if (!result.has_value()) return;
    key->open = 0;
    if (!result->ok()) {  // Not acknowledged: all stays possible.
      key->must_hit = key->must_hit_before;
      return;
    }
    key->before.clear();
    key->must_hit = key->durability != Durability::kNone;
    key->after = {key->now};
    if (!key->must_hit) key->after.insert(0);
  }

  void Remove(const std::string& name) {
    Key& key = keys_[name];
    Settle(&key);
    const TieredStore::Removed removed = store_->Remove(name);
    if (removed == TieredStore::Removed::kFailed) return Unsure(name);
    key.now = 0;
    key.before.clear();
    key.open = 0;
    key.must_hit = false;
    key.after.insert(0);
    if (removed != TieredStore::Removed::kPending) key.after = {0};
  }

  // A removal that failed may have got half the way.
  void Unsure(const std::string& name) {
    Key& key = keys_[name];
    key.must_hit = false;
    key.open = 0;
    key.after.insert({0, key.now});
  }

  void Get(const std::string& name) {
    Key& key = keys_[name];
    Settle(&key);
    const uint64_t found = Read(name);
    if (found != 0) ++hits_;
    if (found == 0 && !key.must_hit) return;
    if (key.open == 0 && key.before.contains(found)) key.now = found;
    if (key.open == 0) key.before.clear();
    EXPECT_EQ(found, key.now) << name;
  }

  uint64_t Read(const std::string& name) {
    absl::StatusOr<BlockRef> block = store_->Fetch(name);
    if (!block.ok()) {
      loads_.RunAll();  // A full queue would refuse this one.
      if (!store_->Promote(name, {})) return 0;
      loads_.RunAll();
      block = store_->Fetch(name);
      promotions_ += block.ok() ? 1 : 0;
    }
    if (!block.ok()) return 0;
    const uint64_t version = versions_[block->checksum()];
    EXPECT_TRUE(DescribedBytes(name, version).Match(block->bytes())) << name;
    return version;
  }

  void Crash() {
    ++crashes_;
    for (auto& [name, key] : keys_) Settle(&key);
    Die();
    disk_.Crash({.survives = Durability::kProcess, .seed = random_()});
    tier_.FailStores(absl::OkStatus());
    tier_.FailDeletes(absl::OkStatus());
    Boot();
    for (auto& [name, key] : keys_) {
      const uint64_t found = Read(name);
      EXPECT_TRUE(key.after.contains(found))
          << name << " is " << found << ", was " << key.now;
      key = {.now = found, .must_hit = found != 0, .after = {found}};
    }
  }

  std::mt19937_64 random_;
  ManualClock clock_;
  ManualExecutor writes_, loads_;
  FakeTier disk_{64 * kBlock};
  FlakyTier tier_{&disk_};
  const std::unique_ptr<Region> region_ = *Region::Map({.size_bytes = kArenaBytes});
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<TieredStore> store_;
  std::map<std::string, Key> keys_;
  std::map<uint64_t, uint64_t> versions_;  // by checksum
  uint64_t last_version_ = 0;
  uint64_t crashes_ = 0, hits_ = 0, promotions_ = 0, made_durable_ = 0;
};

TEST(TieredStoreModel, EveryReadAndEveryRecoveryIsOneThatTheMapAllows) {
  uint64_t crashes = 0, hits = 0, promotions = 0, made_durable = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Model model(seed);
    model.Run(1'000);
    crashes += model.crashes();
    hits += model.hits();
    promotions += model.promotions();
    made_durable += model.made_durable();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
  EXPECT_GT(crashes, 300);
  EXPECT_GT(hits, 10'000);
  EXPECT_GT(promotions, 1'000);
  EXPECT_GT(made_durable, 1'000);
}

}  // namespace
}  // namespace kvasir
