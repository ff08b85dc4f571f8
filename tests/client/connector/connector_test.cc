#include "client/connector/connector.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "tests/client/connector/connector_support.h"
#include "tests/support/fake_client.h"

namespace kvasir {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using Keys = std::vector<std::string_view>;

class ConnectorTest : public ::testing::Test {
 protected:
  void SetUp() override { Start({}); }

  void Start(const ConnectorOptions& options) {
    auto client = std::make_unique<FakeClient>();
    store_ = client.get();
    connector_ = std::make_unique<Connector>(std::move(client), options);
  }

  void Store(std::string_view key, std::string_view bytes,
             std::string_view attributes = "") {
    store_->Insert(key, {std::string(bytes), std::string(attributes)});
  }

  FakeClient* store_ = nullptr;
  std::unique_ptr<Connector> connector_;
  CountingAllocator allocator_;
};

TEST_F(ConnectorTest, WhatOneConnectorStoresAFreshOneRebuildsFromTheAttributes) {
  const OwnedPut put("k", "payload", "shape: 2 3 4");
  ASSERT_TRUE(connector_->Put(put.item()).ok());

  const std::optional<ConnectorObject> got = connector_->Get("k", allocator_);

  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(TextOf(got->bytes), "payload");
  EXPECT_EQ(got->attributes, "shape: 2 3 4");
  EXPECT_EQ(allocator_.attributes_of(0), "shape: 2 3 4")
      << "known before memory is chosen";
}

TEST_F(ConnectorTest, GetOfAMissingKeyIsNothingAndAllocatesNothing) {
  EXPECT_FALSE(connector_->Get("absent", allocator_).has_value());
  EXPECT_EQ(allocator_.allocations(), 0u);
  EXPECT_EQ(connector_->counters().misses, 1u);
}

TEST_F(ConnectorTest, ExistsSyncTellsStoredFromNot) {
  Store("k", "v");
  EXPECT_TRUE(connector_->ExistsSync("k"));
  EXPECT_FALSE(connector_->ExistsSync("l"));
}

TEST_F(ConnectorTest, BatchedGetKeepsPositionsAroundHoles) {
  Store("a", "A");
  Store("c", "CC");
  const auto got = connector_->BatchedGet(Keys{"x", "a", "y", "c"}, allocator_);

  ASSERT_EQ(got.size(), 4u);
  EXPECT_FALSE(got[0].has_value());
  EXPECT_EQ(TextOf(got[1]->bytes), "A");
  EXPECT_FALSE(got[2].has_value());
  EXPECT_EQ(TextOf(got[3]->bytes), "CC");
  EXPECT_EQ(allocator_.live(), 2u) << "both now belong to the caller";
}

TEST_F(ConnectorTest, BatchedContainsCountsThePrefixInOneRoundTrip) {
  for (const char* key : {"a", "b", "d"}) Store(key, "v");
  EXPECT_EQ(connector_->BatchedContains(Keys{"a", "b", "c", "d"}), 2u);
  EXPECT_EQ(store_->calls().lookups, 1u);
}

TEST_F(ConnectorTest, TheBitmapFormShowsHitsBehindHoles) {
  for (const char* key : {"a", "d"}) Store(key, "v");
  EXPECT_EQ(connector_->BatchedContainsBitmap(Keys{"a", "b", "d"}),
            (std::vector<bool>{true, false, true}));
  EXPECT_EQ(store_->calls().lookups, 1u);
}

TEST_F(ConnectorTest, ContainsHoldsItsHitsUntilTheGetThatFollows) {
  Store("a", "v");
  EXPECT_EQ(connector_->BatchedContains(Keys{"a", "b"}), 1u);
  ASSERT_EQ(store_->pin_owners().size(), 1u);
  EXPECT_EQ(store_->pins(*store_->pin_owners().begin()), std::set<std::string>{"a"});

  connector_->BatchedGet(Keys{"a"}, allocator_);

  EXPECT_TRUE(store_->pin_owners().empty());
}

TEST_F(ConnectorTest, WithoutALeaseContainsPinsNothing) {
  Start({.contains_lease = 0ms});
  Store("a", "v");
  EXPECT_EQ(connector_->BatchedContains(Keys{"a"}), 1u);
  EXPECT_EQ(connector_->BatchedContainsBitmap(Keys{"a"}), std::vector<bool>{true});
  EXPECT_TRUE(store_->pin_owners().empty());
}

TEST_F(ConnectorTest, APinBelongsToItsLookupAndTheGetOfThatLookupConsumesIt) {
  Store("a", "v");
  Store("b", "v");
  EXPECT_EQ(connector_->BatchedAsyncContains({"r1", true}, Keys{"a", "b"}), 2u);
  EXPECT_EQ(connector_->BatchedAsyncContains({"r2", true}, Keys{"a"}), 1u);
  EXPECT_EQ(store_->calls().pin_ttl, 30s);
  ASSERT_EQ(store_->pin_owners(), (std::set<std::string>{"lookup/r1", "lookup/r2"}));

  connector_->BatchedGetNonBlocking("r1", Keys{"a", "b"}, allocator_);

  EXPECT_EQ(store_->pin_owners(), std::set<std::string>{"lookup/r2"});
}

TEST_F(ConnectorTest, UnpinDropsThePinsOfALookupWhoseGetDoesNotCome) {
  Store("a", "v");
  connector_->BatchedAsyncContains({"r1", true}, Keys{"a"});
  EXPECT_TRUE(connector_->Unpin("r1").ok());
  EXPECT_TRUE(connector_->Unpin("r1").ok()) << "idempotent";
  EXPECT_TRUE(store_->pin_owners().empty());
}

TEST_F(ConnectorTest, LookupIdsOfAnyLengthOwnTheirPins) {
  Store("a", "v");
  const std::string id(1000, 'i');
  for (const std::string_view lookup_id : {std::string_view(), std::string_view(id)}) {
    connector_->BatchedAsyncContains({lookup_id, true}, Keys{"a"});
    ASSERT_EQ(store_->pin_owners().size(), 1u);
    EXPECT_LE(store_->pin_owners().begin()->size(), kMaxOwnerBytes);
    connector_->BatchedGetNonBlocking(lookup_id, Keys{"a"}, allocator_);
    EXPECT_TRUE(store_->pin_owners().empty());
  }
}

TEST_F(ConnectorTest, AnUnpinnedLookupCountsThePrefixToo) {
  Store("a", "v");
  EXPECT_EQ(connector_->BatchedAsyncContains({"r", false}, Keys{"a", "b"}), 1u);
  EXPECT_TRUE(store_->pins("lookup/r").empty());
}

TEST_F(ConnectorTest, BatchedGetIntoTakesExactSizesOfAnyMix) {
  Store("a", "AAAA");
  Store("b", "BB");
  std::array<std::byte, 4> first;
  std::array<std::byte, 1> second_left, second_right;
  const std::span<std::byte> a = first;
  const std::array<std::span<std::byte>, 2> b = {second_left, second_right};
  const std::vector<GetItem> items = {{"a", std::span(&a, 1)}, {"b", b}};

  EXPECT_EQ(connector_->BatchedGetInto(items), (std::vector<bool>{true, true}));
  EXPECT_EQ(TextOf(first), "AAAA");
  EXPECT_EQ(TextOf(second_right), "B");
}

TEST_F(ConnectorTest, StoredBeforeAndBeingStoredAreSuccess) {
  Store("old", "v");
  store_->FailPut("busy", absl::AbortedError("another client is writing it"));
  const OwnedPut a("old", "v"), b("busy", "v"), c("new", "v");

  const auto statuses = connector_->BatchedPut(std::vector{a.item(), b.item(), c.item()});

  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(connector_->counters().puts, 1u);
  EXPECT_EQ(connector_->counters().puts_present, 2u);
}

TEST_F(ConnectorTest, DurablePutOfWhatIsBeingStoredIsNotSuccess) {
  Start({.durability = Durability::kProcess});
  store_->FailPut("busy", absl::AbortedError("another client is writing it"));
  const OwnedPut put("busy", "v");
  EXPECT_EQ(connector_->Put(put.item()).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(connector_->counters().put_failures, 1u);
}

TEST_F(ConnectorTest, AKeyThatStandsTwiceInAPutIsStoredOnce) {
  const OwnedPut a("k", "first"), b("k", "second"), c("l", "other");
  const auto statuses = connector_->BatchedPut(std::vector{a.item(), b.item(), c.item()});
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(store_->Find("k")->bytes, "first");
  EXPECT_EQ(store_->Find("l")->bytes, "other");
}

TEST_F(ConnectorTest, LongKeysAreStoredFoundFetchedAndRemoved) {
  const std::string key(5000, 'k');
  const std::string near = key.substr(0, 4999) + 'l';
  const OwnedPut put(key, "value");
  ASSERT_TRUE(connector_->Put(put.item()).ok());

  EXPECT_TRUE(connector_->ExistsSync(key));
  EXPECT_FALSE(connector_->ExistsSync(near));
  EXPECT_EQ(TextOf(connector_->Get(key, allocator_)->bytes), "value");
  EXPECT_TRUE(connector_->Remove(key).ok());
  EXPECT_TRUE(absl::IsNotFound(connector_->Remove(key)));
}

TEST_F(ConnectorTest, ListReturnsKeysAndLeavesStandInsOut) {
  const OwnedPut put(std::string(2000, 'k'), "value");
  ASSERT_TRUE(connector_->Put(put.item()).ok());
  Store("a/1", "v");
  Store("a/2", "v");
  Store("b", "v");

  EXPECT_EQ(*connector_->List("", 10), (std::vector<std::string>{"a/1", "a/2", "b"}));
  EXPECT_EQ(*connector_->List("a/", 1), std::vector<std::string>{"a/1"});
}

TEST_F(ConnectorTest, DeadlinesGoWithTheKindOfCall) {
  Start({.lookup_timeout = 11ms, .get_timeout = 22ms, .put_timeout = 33ms});
  const OwnedPut put("k", "v");
  (void)connector_->Put(put.item());
  connector_->ExistsSync("k");
  connector_->Get("k", allocator_);
  EXPECT_EQ(store_->calls().lookup_timeout, 11ms);
  EXPECT_EQ(store_->calls().get_timeout, 22ms);
  EXPECT_EQ(store_->calls().put_timeout, 33ms);
}

TEST_F(ConnectorTest, PutsAreAsDurableAsTheOptionsSay) {
  const OwnedPut put("k", "v");
  ASSERT_TRUE(connector_->Put(put.item()).ok());
  EXPECT_EQ(store_->calls().durability, Durability::kNone);
  Start({.durability = Durability::kPower});
  ASSERT_TRUE(connector_->Put(put.item()).ok());
  EXPECT_EQ(store_->calls().durability, Durability::kPower);
}

TEST_F(ConnectorTest, EmptyBatchesAreAnsweredEmpty) {
  EXPECT_EQ(connector_->BatchedContains({}), 0u);
  EXPECT_TRUE(connector_->BatchedContainsBitmap({}).empty());
  EXPECT_TRUE(connector_->BatchedGet({}, allocator_).empty());
  EXPECT_TRUE(connector_->BatchedGetNonBlocking("r", {}, allocator_).empty());
  EXPECT_TRUE(connector_->BatchedPut({}).empty());
  EXPECT_TRUE(connector_->BatchedGetInto({}).empty());
}

TEST_F(ConnectorTest, PingTellsTheRealStateAndCloseEndsIt) {
  EXPECT_TRUE(connector_->Ping().ok());
  store_->SetDown(true);
  const absl::Status down = connector_->Ping();
  EXPECT_TRUE(absl::IsUnavailable(down));
  EXPECT_NE(down.message().find("none of 1 nodes"), absl::string_view::npos) << down;
  store_->SetDown(false);
  connector_->Close();
  connector_->Close();
  EXPECT_TRUE(absl::IsUnavailable(connector_->Ping()));
  EXPECT_FALSE(connector_->ExistsSync("k"));
}

TEST_F(ConnectorTest, RegisteringGoesToTheClient) {
  std::array<std::byte, 64> pool;
  auto handle = connector_->Register(pool);
  ASSERT_TRUE(handle.ok());
  EXPECT_EQ(store_->live_registrations(), 1u);
  handle->reset();
  EXPECT_EQ(store_->live_registrations(), 0u);
}

}  // namespace
}  // namespace kvasir
