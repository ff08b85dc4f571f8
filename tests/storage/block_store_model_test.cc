#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "storage/block_store.h"
#include "tests/storage/described_bytes.h"

namespace kvasir {
namespace {

constexpr uint64_t kArenaBytes = 256 * kKiB;
constexpr int kKeys = 40;

// Drives a store with random calls from one thread, beside a map that says what each of
// them must do. Eviction may take any block that nobody holds, and no other.
class Model {
 public:
  Model(uint64_t seed, EvictionPolicyKind policy)
      : random_(seed), store_(&arena_, {.eviction_policy = policy}) {}

  void Step() {
    switch (random_() % 12) {
      case 0:
      case 1:
      case 2:
        return Reserve();
      case 3:
      case 4:
      case 5:
        return Commit();
      case 6:
      case 7:
      case 8:
        return Fetch();
      case 9:
        return random_() % 2 == 0 ? Abandon() : Unbind();
      case 10:
        return random_() % 3 == 0 ? Remove() : ReleaseReaders(1);
      default:
        return random_() % 3 == 0 ? Evict() : ReleaseReaders(2);
    }
  }

  // Everything that can be asked, against the model.
  void Check() {
    std::vector<std::string> listed;
    for (const KeyInfo& info : store_.List("", "", 1000)) {
      listed.push_back(info.key);
      ASSERT_TRUE(committed_.contains(info.key));
      const Committed& model = committed_[info.key];
      EXPECT_EQ(info.generation, model.generation);
      EXPECT_EQ(info.checksum, model.checksum);
      EXPECT_EQ(info.size_bytes, model.size_bytes);
      EXPECT_EQ(info.references, ReadersOf(info.key, info.generation));
    }
    EXPECT_TRUE(std::is_sorted(listed.begin(), listed.end()));
    EXPECT_EQ(listed.size(), committed_.size());
    for (const BlockRef& ref : readers_) ExpectRightBytes(ref);
    CheckAccounts();
  }

  void Finish() {
    readers_.clear();
    reservations_.clear();
    Check();
    const uint64_t block_bytes = store_.stats().block_bytes;
    EXPECT_EQ(store_.Evict(kArenaBytes), block_bytes);
    EXPECT_EQ(arena_.usage().largest_free_bytes, kArenaBytes);
  }

  uint64_t evicted() const { return evicted_; }
  uint64_t refused() const { return refused_; }

 private:
  struct Committed {
    uint64_t generation = 0;
    uint64_t checksum = 0;
    uint64_t size_bytes = 0;
    uint64_t offset_bytes = 0;
  };
  struct Filling {
    Reservation reservation;
    uint64_t checksum = 0;  // no sum of anything: it says which bytes these are
    bool replace = false;
    bool bound = true;
  };

  std::string SomeKey() { return "k" + std::to_string(random_() % kKeys); }

  void Reserve() {
    if (reservations_.size() > 8) return;
    const std::string key = SomeKey();
    const bool replace = random_() % 3 == 0;
    const uint64_t size = 1 + random_() % (uint64_t{1} << (8 + random_() % 10));
    absl::StatusOr<Reservation> made =
        store_.Reserve(key, {.size_bytes = size, .replace = replace});
    DropEvicted();
    const bool bound = std::any_of(
        reservations_.begin(), reservations_.end(),
        [&key](const Filling& f) { return f.bound && f.reservation.key() == key; });
    const bool exists = committed_.contains(key);
    if (made.ok()) {
      EXPECT_TRUE(replace || (!bound && !exists));
      const uint64_t checksum = random_();
      DescribedBytes(key, checksum).Fill(made->bytes());
      reservations_.push_back(
          {.reservation = *std::move(made), .checksum = checksum, .replace = replace});
      return;
    }
    switch (made.status().code()) {
      case absl::StatusCode::kAlreadyExists:
        EXPECT_TRUE(exists && !replace);
        break;
      case absl::StatusCode::kAborted:
        EXPECT_TRUE(bound && !exists && !replace);
        break;
      case absl::StatusCode::kResourceExhausted:
        EXPECT_LT(LargestPossibleRun(), Arena::AllocatedBytes(size));
        ++refused_;
        break;
      default:
        ADD_FAILURE() << made.status().ToString();
    }
  }

  Filling TakeReservation() {
    const size_t at = random_() % reservations_.size();
    Filling taken = std::move(reservations_[at]);
    reservations_.erase(reservations_.begin() + static_cast<ptrdiff_t>(at));
    return taken;
  }

  void Commit() {
    if (reservations_.empty()) return;
    Filling filling = TakeReservation();
    const std::string key(filling.reservation.key());
    Committed made = {.checksum = filling.checksum,
                      .size_bytes = filling.reservation.size_bytes(),
                      .offset_bytes = filling.reservation.extent().offset_bytes};
    const absl::StatusOr<BlockRef> committed =
        store_.CommitAndHold(std::move(filling.reservation), made.checksum);
    const absl::Status& status = committed.status();
    if (!filling.bound) {
      EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    } else if (committed_.contains(key) && !filling.replace) {
      EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
    } else {
      ASSERT_TRUE(status.ok()) << status.ToString();
      EXPECT_GT(committed->generation(), last_generation_);
      made.generation = last_generation_ = committed->generation();
      committed_[key] = made;
    }
  }

  void Abandon() {
    if (!reservations_.empty()) (void)TakeReservation();
  }

  void Unbind() {
    if (reservations_.empty()) return;
    Filling& filling = reservations_[random_() % reservations_.size()];
    filling.reservation.Unbind();
    filling.bound = false;
  }

  void Fetch() {
    const std::string key = SomeKey();
    absl::StatusOr<BlockRef> ref =
        random_() % 4 == 0 ? store_.Peek(key) : store_.Fetch(key);
    ASSERT_EQ(ref.ok(), committed_.contains(key));
    if (!ref.ok()) {
      EXPECT_EQ(ref.status().code(), absl::StatusCode::kNotFound);
      return;
    }
    EXPECT_EQ(ref->generation(), committed_[key].generation);
    ExpectRightBytes(*ref);
    if (readers_.size() < 12) readers_.push_back(*std::move(ref));
  }

  void Remove() {
    const std::string key = SomeKey();
    EXPECT_EQ(store_.Remove(key).ok(), committed_.erase(key) > 0);
  }

  void ReleaseReaders(size_t count) {
    for (; count > 0 && !readers_.empty(); --count) {
      std::swap(readers_[random_() % readers_.size()], readers_.back());
      readers_.pop_back();
    }
  }

  void Evict() {
    const uint64_t before = store_.stats().block_bytes;
    const uint64_t freed = store_.Evict(random_() % (kArenaBytes / 4));
    EXPECT_EQ(before - store_.stats().block_bytes, freed);
    DropEvicted();
  }

  // Follows the store in what it evicted: nothing that is held, and as many as it says.
  void DropEvicted() {
    const uint64_t evicted = store_.stats().evicted_blocks_total;
    if (evicted == evicted_) return;
    const size_t before = committed_.size();
    std::erase_if(committed_, [this](const auto& entry) {
      if (store_.Probe(entry.first) == Residency::kMemory) return false;
      EXPECT_EQ(ReadersOf(entry.first, entry.second.generation), 0u);
      return true;
    });
    EXPECT_EQ(before - committed_.size(), evicted - evicted_);
    evicted_ = evicted;
  }

  uint32_t ReadersOf(const std::string& key, uint64_t generation) const {
    return static_cast<uint32_t>(
        std::count_if(readers_.begin(), readers_.end(), [&](const BlockRef& ref) {
          return ref.key() == key && ref.generation() == generation;
        }));
  }

  static void ExpectRightBytes(const BlockRef& ref) {
    EXPECT_TRUE(DescribedBytes(ref.key(), ref.checksum()).Match(ref.bytes()));
  }

  // Bytes in one piece, were everything evicted that can be.
  uint64_t LargestPossibleRun() const {
    std::map<uint64_t, uint64_t> fixed;  // offset to end
    const auto add = [&fixed](const Extent& extent) {
      fixed[extent.offset_bytes] =
          extent.offset_bytes + Arena::AllocatedBytes(extent.size_bytes);
    };
    for (const BlockRef& ref : readers_) add(ref.extent());
    for (const Filling& filling : reservations_) add(filling.reservation.extent());
    uint64_t largest = 0, end = 0;
    for (const auto& [from, to] : fixed) {
      largest = std::max(largest, from - end);
      end = to;
    }
    return std::max(largest, kArenaBytes - end);
  }

  void CheckAccounts() {
    const BlockStore::Stats stats = store_.stats();
    uint64_t block_bytes = 0, reserved_bytes = 0;
    for (const auto& [key, model] : committed_) {
      block_bytes += Arena::AllocatedBytes(model.size_bytes);
    }
    for (const Filling& filling : reservations_) {
      reserved_bytes += Arena::AllocatedBytes(filling.reservation.size_bytes());
    }
    std::map<uint64_t, uint64_t> unbound;  // generation to bytes
    for (const BlockRef& ref : readers_) {
      const auto it = committed_.find(std::string(ref.key()));
      if (it != committed_.end() && it->second.generation == ref.generation()) continue;
      unbound[ref.generation()] = Arena::AllocatedBytes(ref.size_bytes());
    }
    uint64_t unbound_bytes = 0;
    for (const auto& [generation, bytes] : unbound) unbound_bytes += bytes;
    EXPECT_EQ(stats.blocks, committed_.size());
    EXPECT_EQ(stats.block_bytes, block_bytes);
    EXPECT_EQ(stats.reserved_blocks, reservations_.size());
    EXPECT_EQ(stats.reserved_bytes, reserved_bytes);
    EXPECT_EQ(stats.unbound_blocks, unbound.size());
    EXPECT_EQ(stats.unbound_bytes, unbound_bytes);
    EXPECT_EQ(arena_.usage().allocated_bytes,
              block_bytes + reserved_bytes + unbound_bytes);
  }

  std::mt19937_64 random_;
  uint64_t last_generation_ = 0;
  const std::unique_ptr<Region> region_ = *Region::Map({.size_bytes = kArenaBytes});
  Arena arena_{region_.get()};
  BlockStore store_;
  std::map<std::string, Committed> committed_;
  std::vector<Filling> reservations_;
  std::vector<BlockRef> readers_;
  uint64_t evicted_ = 0;
  uint64_t refused_ = 0;
};

class BlockStoreModel : public ::testing::TestWithParam<EvictionPolicyKind> {};

TEST_P(BlockStoreModel, TheStoreDoesWhatAMapWould) {
  uint64_t evicted = 0, refused = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Model model(seed, GetParam());
    for (int step = 0; step < 800 && !::testing::Test::HasFailure(); ++step) {
      model.Step();
      if (step % 20 == 0) model.Check();
    }
    model.Finish();
    evicted += model.evicted();
    refused += model.refused();
  }
  // The runs met what they are meant to meet.
  EXPECT_GT(evicted, 300u);
  EXPECT_GT(refused, 0u);
}

std::string NameOf(const ::testing::TestParamInfo<EvictionPolicyKind>& info) {
  return std::string(EvictionPolicyName(info.param));
}

INSTANTIATE_TEST_SUITE_P(Policies, BlockStoreModel,
                         ::testing::Values(EvictionPolicyKind::kS3Fifo,
                                           EvictionPolicyKind::kSieve,
                                           EvictionPolicyKind::kLru,
                                           EvictionPolicyKind::kLfu,
                                           EvictionPolicyKind::kFifo),
                         NameOf);

}  // namespace
}  // namespace kvasir
