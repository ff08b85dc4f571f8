#include "client/connector/async_connector.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "client/async_client.h"
#include "tests/client/connector/connector_support.h"
#include "tests/support/fake_client.h"

namespace kvasir {
namespace {

using Keys = std::vector<std::string_view>;

class AsyncConnectorTest : public ::testing::Test {
 protected:
  AsyncConnectorTest() {
    auto client = std::make_unique<FakeClient>();
    store_ = client.get();
    connector_ = std::make_unique<Connector>(std::move(client), ConnectorOptions{});
    // No operation here takes long; what is late is late on purpose.
    auto async = AsyncClient::Create(store_, {.timeout = std::chrono::seconds(60)});
    EXPECT_TRUE(async.ok()) << async.status();
    async_ = *std::move(async);
    submit_ = std::make_unique<AsyncConnector>(connector_.get(), async_.get());
  }

  void Store(std::string_view key) {
    store_->Insert(key, {std::string(key), "attributes"});
  }

  // The completion of the only operation under way.
  Completion Await(const absl::StatusOr<OperationId>& id) {
    EXPECT_TRUE(id.ok()) << id.status();
    pollfd readable = {.fd = async_->event_fd(), .events = POLLIN, .revents = 0};
    while (poll(&readable, 1, -1) != 1) {
    }
    std::vector<Completion> done = async_->Drain();
    EXPECT_EQ(done.size(), 1u);
    EXPECT_EQ(done[0].id, *id);
    return std::move(done[0]);
  }

  static std::vector<bool> Hits(const Completion& completion) {
    std::vector<bool> hits;
    for (const absl::Status& status : completion.results) hits.push_back(status.ok());
    return hits;
  }

  FakeClient* store_;
  CountingAllocator allocator_;
  std::unique_ptr<Connector> connector_;
  std::unique_ptr<AsyncClient> async_;  // goes first: see the header
  std::unique_ptr<AsyncConnector> submit_;
};

TEST_F(AsyncConnectorTest, ContainsAnswersThePrefixAndPinsItForTheLookup) {
  for (const char* key : {"a", "b", "d"}) Store(key);
  const Completion done =
      Await(submit_->SubmitContains({"request", true}, Keys{"a", "b", "c", "d"}));
  EXPECT_EQ(Hits(done), (std::vector<bool>{true, true, false, false}));
  EXPECT_EQ(store_->pins("lookup/request"), (std::set<std::string>{"a", "b"}));
}

TEST_F(AsyncConnectorTest, GetIsPositionalAndThePrefixFormEndsAtTheMiss) {
  for (const char* key : {"a", "c"}) Store(key);
  const Keys keys = {"a", "b", "c"};
  EXPECT_EQ(Hits(Await(submit_->SubmitGet(keys, &allocator_))),
            (std::vector<bool>{true, false, true}));
  EXPECT_EQ(allocator_.live(), 2u);
  Await(submit_->SubmitContains({"request", true}, keys));
  EXPECT_EQ(Hits(Await(submit_->SubmitGetPrefix("request", keys, &allocator_))),
            (std::vector<bool>{true, false, false}));
  EXPECT_EQ(allocator_.live(), 3u) << "c has been given back";
  EXPECT_TRUE(store_->pins("lookup/request").empty());
}

TEST_F(AsyncConnectorTest, PutTellsTheFateOfEachKeyAndCopiesWhatItIsGiven) {
  store_->FailPut("full", absl::ResourceExhaustedError("no memory"));
  Store("old");
  const std::string bytes = "bytes";
  const std::span<const std::byte> slice = std::as_bytes(std::span<const char>(bytes));
  absl::StatusOr<OperationId> id;
  {
    std::string names[] = {"new", "old", "full"};
    std::vector<std::span<const std::byte>> payload = {slice};
    std::vector<PutItem> items;
    for (const std::string& name : names) items.push_back({name, payload, "attributes"});
    id = submit_->SubmitPut(items);
    for (std::string& name : names) name.assign("overwritten");
    payload[0] = {};
  }
  const Completion done = Await(id);
  EXPECT_TRUE(done.results[0].ok());
  EXPECT_TRUE(done.results[1].ok()) << "stored already is success";
  EXPECT_TRUE(absl::IsResourceExhausted(done.results[2]));
  EXPECT_EQ(store_->Find("new")->bytes, "bytes");
  EXPECT_EQ(store_->Find("new")->attributes, "attributes");
}

// RESP and Redis: with no server submits never complete.
TEST_F(AsyncConnectorTest, WithoutAServerEveryOperationCompletes) {
  store_->SetDown(true);
  const OwnedPut put("k", "v");
  const PutItem item = put.item();
  EXPECT_EQ(Hits(Await(submit_->SubmitContains({"r", true}, Keys{"k"}))),
            std::vector<bool>{false});
  EXPECT_EQ(Hits(Await(submit_->SubmitGet(Keys{"k"}, &allocator_))),
            std::vector<bool>{false});
  EXPECT_TRUE(
      absl::IsUnavailable(Await(submit_->SubmitPut(std::span(&item, 1))).results[0]));
  EXPECT_EQ(allocator_.allocations(), 0u);
}

TEST_F(AsyncConnectorTest, AnOperationThatIsLateCompletesAsMissesAndAllocatesNothing) {
  Store("k");
  const AsyncConnector::SubmitOptions late = {.timeout = std::chrono::milliseconds(0)};
  const Completion done = Await(submit_->SubmitGet(Keys{"k"}, &allocator_, late));
  EXPECT_TRUE(absl::IsDeadlineExceeded(done.status)) << done.status;
  EXPECT_EQ(Hits(done), std::vector<bool>{false});
  EXPECT_EQ(allocator_.allocations(), 0u);
}

TEST_F(AsyncConnectorTest, TheTimeThatIsLeftIsTheDeadlineOfTheCall) {
  Store("k");
  Await(submit_->SubmitGet(Keys{"k"}, &allocator_));
  ASSERT_TRUE(store_->calls().get_timeout.has_value());
  EXPECT_LE(*store_->calls().get_timeout, std::chrono::seconds(60));
  EXPECT_GT(*store_->calls().get_timeout, std::chrono::seconds(0));
}

TEST_F(AsyncConnectorTest, AfterCloseNothingIsTakenAndNoMemoryIsTouched) {
  Store("k");
  async_->Close();
  EXPECT_TRUE(
      absl::IsFailedPrecondition(submit_->SubmitGet(Keys{"k"}, &allocator_).status()));
  EXPECT_EQ(allocator_.allocations(), 0u);
}

}  // namespace
}  // namespace kvasir
