#include "service/pin_table.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "storage/block_store.h"
#include "storage/blocks_below.h"

namespace kvasir {
namespace {

using std::chrono::seconds;

constexpr SessionId kAlice{1, 1};
constexpr SessionId kBob{2, 2};
constexpr SessionId kNode{};
constexpr Instant kStart{seconds(100)};

// A disk that has every key, in the generation that it was told.
class Below final : public BlocksBelow {
 public:
  bool exists() const override { return true; }
  std::optional<uint64_t> FindGeneration(std::string_view) const override {
    return generation;
  }

  std::optional<uint64_t> generation;
};

class PinTableTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kBlock = 64 * kKiB;

  BlockRef MustStore(std::string_view key, bool replace = false) {
    Reservation made =
        *store_.Reserve(key, {.size_bytes = kBlock, .replace = replace});
    EXPECT_TRUE(store_.Commit(std::move(made), 1).ok());
    return *store_.Peek(key);
  }
  void MustPin(SessionId session, std::string_view owner, std::string_view key,
               Instant expiry = kStart) {
    if (store_.Probe(key) == Residency::kAbsent) MustStore(key);
    EXPECT_TRUE(pins_.Pin(session, owner, *store_.Peek(key), expiry).ok());
  }
  uint32_t References(std::string_view key) { return store_.Stat(key)->references; }
  std::vector<std::string> Listed(std::string_view owner, std::string_view key,
                                  size_t limit = 100) {
    std::vector<std::string> rows;
    for (const PinView& pin : pins_.List(owner, key, limit)) {
      rows.push_back(pin.owner + "/" + pin.key);
    }
    return rows;
  }

  const std::unique_ptr<Region> region_ =
      *Region::Map({.id = RegionId(1), .size_bytes = 4 * kMiB});
  Arena arena_{region_.get()};
  Below below_;
  BlockStore store_{&arena_, {.below = &below_}};
  PinTable pins_;
};

TEST_F(PinTableTest, APinHoldsItsBlockUntilUnpinned) {
  MustPin(kAlice, "a", "k");
  EXPECT_EQ(References("k"), 1u);
  EXPECT_EQ(store_.Evict(kBlock), 0u);
  EXPECT_EQ(pins_.Unpin(kAlice, "a"), 1u);
  EXPECT_EQ(pins_.Unpin(kAlice, "a"), 0u);
  EXPECT_EQ(References("k"), 0u);
  EXPECT_EQ(pins_.size(), 0u);
}

TEST_F(PinTableTest, PinningAgainExtendsAndNeverShortens) {
  MustPin(kAlice, "a", "k", kStart + seconds(5));
  MustPin(kAlice, "a", "k", kStart + seconds(2));
  EXPECT_EQ(pins_.size(), 1u);
  EXPECT_EQ(References("k"), 1u);
  EXPECT_TRUE(pins_.Expire(kStart + seconds(2)).empty());
  MustPin(kAlice, "a", "k", kStart + seconds(9));
  EXPECT_TRUE(pins_.Expire(kStart + seconds(5)).empty());
  EXPECT_EQ(pins_.Expire(kStart + seconds(9)).size(), 1u);
  EXPECT_EQ(pins_.size(), 0u);
}

TEST_F(PinTableTest, PinningAgainFollowsAKeyThatWasReplaced) {
  MustPin(kAlice, "a", "k");
  MustStore("k", true);
  EXPECT_EQ(store_.stats().unbound_blocks, 1u);
  MustPin(kAlice, "a", "k");
  EXPECT_EQ(store_.stats().unbound_blocks, 0u);
  EXPECT_EQ(References("k"), 1u);
  const std::vector<std::string_view> keys{"k"};
  EXPECT_EQ(pins_.UnpinKeys(kAlice, "a", keys), 1u);
  EXPECT_EQ(References("k"), 0u);
}

TEST_F(PinTableTest, PinningAgainFollowsABlockThatCameBackFromDisk) {
  MustPin(kAlice, "a", "k");
  below_.generation = store_.Peek("k")->generation();
  ASSERT_TRUE(store_.Remove("k").ok());
  Reservation copy =
      *store_.ReserveCopy("k", {.size_bytes = kBlock}, *below_.generation);
  ASSERT_TRUE(store_.CommitCopy(std::move(copy), 1).ok());
  EXPECT_EQ(store_.stats().unbound_blocks, 1u) << "the one that is pinned";
  MustPin(kAlice, "a", "k");
  EXPECT_EQ(store_.stats().unbound_blocks, 0u);
  EXPECT_EQ(References("k"), 1u);
  EXPECT_EQ(store_.Evict(kBlock), 0u);
}

TEST_F(PinTableTest, OwnersOfTwoSessionsAreTwoOwners) {
  MustPin(kAlice, "a", "k");
  MustPin(kBob, "a", "k");
  EXPECT_EQ(pins_.size(), 2u);
  EXPECT_EQ(pins_.Unpin(kAlice, "a"), 1u);
  EXPECT_EQ(References("k"), 1u);
  MustPin(kAlice, "a", "k");
  EXPECT_EQ(pins_.UnpinEverywhere("a"), 2u);
  EXPECT_EQ(References("k"), 0u);
}

TEST_F(PinTableTest, UnpinningKeysLeavesTheOwnersOthers) {
  MustPin(kAlice, "a", "k1");
  MustPin(kAlice, "a", "k2");
  MustPin(kBob, "a", "k1");
  const std::vector<std::string_view> keys{"k1", "k3"};
  EXPECT_EQ(pins_.UnpinKeys(kAlice, "a", keys), 1u);
  EXPECT_EQ(pins_.UnpinKeysEverywhere("a", keys), 1u);
  EXPECT_EQ(pins_.UnpinKeysEverywhere("b", keys), 0u);
  EXPECT_EQ(Listed("", ""), std::vector<std::string>{"a/k2"});
}

TEST_F(PinTableTest, PinsAreListedInOrderAPageAtATime) {
  MustPin(kBob, "b", "k1");
  MustPin(kAlice, "a", "k2");
  MustPin(kAlice, "a", "k1");
  MustPin(kBob, "a", "k3");
  MustPin(kBob, "a", "k1", kStart + seconds(1));  // The same row as Alice's.
  EXPECT_EQ(Listed("", ""), (std::vector<std::string>{"a/k1", "a/k2", "a/k3", "b/k1"}));
  EXPECT_EQ(pins_.List("", "", 1)[0].expiry, kStart + seconds(1));
  EXPECT_EQ(pins_.List("", "", 1)[0].size_bytes, kBlock);
  EXPECT_EQ(Listed("", "", 2), (std::vector<std::string>{"a/k1", "a/k2"}));
  EXPECT_EQ(Listed("a", "k2", 2), (std::vector<std::string>{"a/k3", "b/k1"}));
  EXPECT_EQ(Listed("b", "k1"), std::vector<std::string>{});
}

TEST_F(PinTableTest, TheEndOfASessionTakesItsPinsAlone) {
  MustPin(kAlice, "a", "k1");
  MustPin(kAlice, "b", "k1");
  MustPin(kBob, "a", "k1");
  MustPin(kNode, "a", "k1");
  EXPECT_EQ(pins_.EndSession(kAlice).size(), 2u);
  EXPECT_EQ(pins_.EndSession(kAlice).size(), 0u);
  EXPECT_EQ(pins_.size(), 2u);
  EXPECT_EQ(pins_.EndSession(kBob).size(), 1u);
  EXPECT_EQ(Listed("", ""), std::vector<std::string>{"a/k1"});
}

TEST_F(PinTableTest, ExpiryTakesWhatIsDueAndForgetsEmptyOwners) {
  for (int n = 0; n < 10; ++n) {
    MustPin(kAlice, "o" + std::to_string(n % 3), "k" + std::to_string(n),
            kStart + seconds(n));
  }
  EXPECT_EQ(pins_.Expire(kStart + seconds(4)).size(), 5u);
  EXPECT_EQ(pins_.size(), 5u);
  EXPECT_EQ(pins_.Expire(kStart + seconds(100)).size(), 5u);
  EXPECT_TRUE(pins_.List("", "", 100).empty());
  EXPECT_TRUE(pins_.EndSession(kAlice).empty());
}

}  // namespace
}  // namespace kvasir
