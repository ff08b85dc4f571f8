// What went wrong in other connectors, one named test each, so that it does not here.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/limits.h"
#include "client/connector/connector.h"
#include "tests/client/connector/connector_support.h"
#include "tests/support/fake_client.h"

namespace kvasir {
namespace {

using Keys = std::vector<std::string_view>;

class ConnectorDefects : public ::testing::Test {
 protected:
  ConnectorDefects() {
    auto client = std::make_unique<FakeClient>();
    store_ = client.get();
    connector_ = std::make_unique<Connector>(std::move(client), ConnectorOptions{});
  }
  void Store(std::string_view key, std::string_view bytes,
             std::string_view attributes = "") {
    store_->Insert(key, {std::string(bytes), std::string(attributes)});
  }

  FakeClient* store_;
  std::unique_ptr<Connector> connector_;
  CountingAllocator allocator_;
};

// Infinistore takes a send slot before it checks the size: 16 refusals end all puts.
TEST_F(ConnectorDefects, RefusedPutsDoNotUseAnythingUp) {
  const OwnedPut bad("bad", "v", std::string(kMaxAttributesBytes + 1, 'a'));
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(absl::IsInvalidArgument(connector_->Put(bad.item())));
  }
  const OwnedPut good("good", "v");
  EXPECT_TRUE(connector_->Put(good.item()).ok());
}

// Infinistore loses a receive slot when the engine has no memory.
TEST_F(ConnectorDefects, NoMemoryIsAMissAndTheNextGetWorks) {
  Store("a", "A");
  CountingAllocator empty(0);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(connector_->Get("a", empty).has_value());
  EXPECT_EQ(connector_->counters().allocation_failures, 100u);
  EXPECT_TRUE(connector_->Get("a", allocator_).has_value());
}

// Everyone: allocation failure handled by waiting for memory that cannot come.
TEST_F(ConnectorDefects, AFullPoolFailsOnlyTheBlocksThatDoNotFit) {
  for (const char* key : {"a", "b", "c"}) Store(key, "v");
  CountingAllocator small(2);
  const auto got = connector_->BatchedGet(Keys{"a", "b", "c"}, small);
  EXPECT_TRUE(got[0].has_value() && got[1].has_value());
  EXPECT_FALSE(got[2].has_value());
  EXPECT_EQ(small.live(), 2u);
}

// Infinistore has one group, RESP one buffer size a batch, shapes are cached once.
TEST_F(ConnectorDefects, BlocksOfABatchDifferInSizeAndShape) {
  Store("a", "1", "groups: 1");
  Store("b", "4444", "groups: 2");
  const auto got = connector_->BatchedGet(Keys{"a", "b"}, allocator_);
  EXPECT_EQ(got[0]->bytes.size(), 1u);
  EXPECT_EQ(got[0]->attributes, "groups: 1");
  EXPECT_EQ(got[1]->bytes.size(), 4u);
  EXPECT_EQ(got[1]->attributes, "groups: 2");
}

// Infinistore and Valkey swallow put errors; others count a batch as a whole.
TEST_F(ConnectorDefects, EachFailedPutIsReportedAndCounted) {
  store_->FailPut("full", absl::ResourceExhaustedError("no memory"));
  store_->FailPut("down", absl::UnavailableError("node is gone"));
  const OwnedPut a("ok", "v"), b("full", "v"), c("down", "v");
  const auto statuses = connector_->BatchedPut(std::vector{a.item(), b.item(), c.item()});
  EXPECT_TRUE(statuses[0].ok());
  EXPECT_TRUE(absl::IsResourceExhausted(statuses[1]));
  EXPECT_TRUE(absl::IsUnavailable(statuses[2]));
  EXPECT_EQ(connector_->counters().put_failures, 2u);
}

// RESP: one missing key hangs the worker, and everything behind it.
TEST_F(ConnectorDefects, AMissingKeyIsAHoleAndTheRestArrives) {
  for (const char* key : {"a", "c"}) Store(key, key);
  for (int round = 0; round < 10; ++round) {
    const auto got = connector_->BatchedGet(Keys{"a", "b", "c"}, allocator_);
    EXPECT_TRUE(got[0].has_value() && !got[1].has_value() && got[2].has_value());
  }
}

// RESP: a block of another length puts the connection out of step for good. The FS
// client returns truncated data as a hit, Valkey a full-size object for a short value.
TEST_F(ConnectorDefects, AnotherLengthIsAMissBothWaysAndTheNextGetWorks) {
  Store("k", "four");
  std::array<std::byte, 3> shorter;
  std::array<std::byte, 5> longer;
  std::array<std::byte, 4> exact;
  for (const std::span<std::byte> wrong :
       {std::span<std::byte>(shorter), std::span<std::byte>(longer)}) {
    const GetItem item = {"k", std::span(&wrong, 1)};
    EXPECT_EQ(connector_->BatchedGetInto(std::span(&item, 1)), std::vector<bool>{false});
  }
  const std::span<std::byte> right = exact;
  const GetItem item = {"k", std::span(&right, 1)};
  EXPECT_EQ(connector_->BatchedGetInto(std::span(&item, 1)), std::vector<bool>{true});
}

TEST_F(ConnectorDefects, AnAllocatorThatMisjudgesTheSizeGetsItsMemoryBack) {
  Store("k", "four");
  allocator_.MisjudgeBy(1);
  EXPECT_FALSE(connector_->Get("k", allocator_).has_value());
  EXPECT_EQ(allocator_.live(), 0u);
  EXPECT_EQ(allocator_.unknown_releases(), 0u);
}

// Redis: [miss, hit, miss, hit] gives two objects, taken for the first two chunks.
TEST_F(ConnectorDefects, NothingBehindAMissIsReturned) {
  for (const char* key : {"b", "d"}) Store(key, key);
  EXPECT_TRUE(connector_->BatchedGetNonBlocking("r", Keys{"a", "b", "c", "d"}, allocator_)
                  .empty());
  EXPECT_EQ(allocator_.live(), 0u) << "b and d have been given back";
  EXPECT_EQ(allocator_.releases(), 2u);
  EXPECT_EQ(connector_->counters().released_after_miss, 2u);
}

TEST_F(ConnectorDefects, ThePrefixEndsAtABlockThatVanishedAfterTheLookup) {
  for (const char* key : {"a", "b", "c"}) Store(key, key);
  store_->LoseAtGet("b");
  EXPECT_EQ(connector_->BatchedAsyncContains({"r", true}, Keys{"a", "b", "c"}), 3u);
  const auto got =
      connector_->BatchedGetNonBlocking("r", Keys{"a", "b", "c"}, allocator_);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(TextOf(got[0].bytes), "a");
  EXPECT_EQ(allocator_.live(), 1u);
}

// Everyone: objects leak on error paths. A block that fails half-way has its memory.
TEST_F(ConnectorDefects, MemoryOfABlockThatFailsInFlightComesBackExactlyOnce) {
  for (const char* key : {"a", "b", "c"}) Store(key, "bytes");
  store_->FailInFlight("b");
  const auto got = connector_->BatchedGet(Keys{"a", "b", "c"}, allocator_);
  EXPECT_TRUE(got[0].has_value() && !got[1].has_value() && got[2].has_value());
  EXPECT_EQ(allocator_.live(), 2u);
  EXPECT_EQ(allocator_.releases(), 1u);
  EXPECT_EQ(allocator_.unknown_releases(), 0u);
}

// Mock connector: batched_get returns a shorter list.
TEST_F(ConnectorDefects, BatchedGetAnswersEveryKeyAlsoWhenNoNodeDoes) {
  store_->SetDown(true);
  EXPECT_EQ(connector_->BatchedGet(Keys{"a", "b", "c"}, allocator_).size(), 3u);
  EXPECT_EQ(allocator_.allocations(), 0u);
}

// Redis and RESP ask for each key of a contains.
TEST_F(ConnectorDefects, AContainsOfSixtyFourKeysIsOneCall) {
  std::vector<std::string> names;
  for (int i = 0; i < 64; ++i) names.push_back("key" + std::to_string(i));
  for (const std::string& name : names) Store(name, "v");
  EXPECT_EQ(connector_->BatchedContains(Keys(names.begin(), names.end())), 64u);
  EXPECT_EQ(store_->calls().lookups, 1u);
}

// RESP and Infinistore: no server, and the engine hangs or does not start.
TEST_F(ConnectorDefects, WithoutAServerEverythingIsAnsweredAsAMiss) {
  store_->SetDown(true);
  const OwnedPut put("k", "v");
  EXPECT_FALSE(connector_->ExistsSync("k"));
  EXPECT_EQ(connector_->BatchedContainsBitmap(Keys{"k"}), std::vector<bool>{false});
  EXPECT_FALSE(connector_->Get("k", allocator_).has_value());
  EXPECT_TRUE(connector_->BatchedGetNonBlocking("r", Keys{"k"}, allocator_).empty());
  EXPECT_TRUE(absl::IsUnavailable(connector_->Put(put.item())));
  EXPECT_TRUE(absl::IsUnavailable(connector_->Ping()));
  store_->SetDown(false);
  EXPECT_TRUE(connector_->Put(put.item()).ok()) << "and comes back by itself";
}

}  // namespace
}  // namespace kvasir
