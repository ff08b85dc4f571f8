#include "client/async_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "tests/support/fake_client.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AsyncClientTest : public ::testing::Test {
 protected:
  AsyncClientTest() {
    auto async = AsyncClient::Create(&client_, {.threads = 2, .timeout = milliseconds(60'000)});
    EXPECT_TRUE(async.ok()) << async.status();
    async_ = *std::move(async);
  }
  // Waits for one completion.
  Completion Await(const absl::StatusOr<OperationId>& id) {
    EXPECT_TRUE(id.ok()) << id.status();
    while (completed_.count(*id) == 0) {
      pollfd fd{async_->event_fd(), POLLIN, 0};
      poll(&fd, 1, -1);
      for (Completion& done : async_->Drain()) {
        EXPECT_TRUE(completed_.emplace(done.id, std::move(done)).second) << "twice";
      }
    }
    return completed_[*id];
  }
  static std::vector<absl::StatusCode> Codes(const Completion& completion) {
    std::vector<absl::StatusCode> codes;
    for (const absl::Status& result : completion.results) codes.push_back(result.code());
    return codes;
  }

  FakeClient client_;
  std::unique_ptr<AsyncClient> async_;
  std::map<OperationId, Completion> completed_;
};

TEST_F(AsyncClientTest, PutsAndGetsKeepTheirOwnCopiesOfKeysAndLists) {
  const std::string first = "ab", second = "cde";
  absl::StatusOr<OperationId> put = absl::UnknownError("");
  {
    std::string key = "a key that is too long for a small string";
    const std::array slices{std::as_bytes(std::span(first)), std::as_bytes(std::span(second))};
    const PutItem item{key, slices, "shape"};
    put = async_->SubmitPut(std::span(&item, 1), {});
    key.assign(key.size(), 'x');
  }
  EXPECT_THAT(Codes(Await(put)), ElementsAre(absl::StatusCode::kOk));
  const auto block = client_.Find("a key that is too long for a small string");
  ASSERT_TRUE(block.has_value());
  EXPECT_EQ(block->bytes, "abcde");
  EXPECT_EQ(block->attributes, "shape");

  std::string buffer(5, '.');
  absl::StatusOr<OperationId> get = absl::UnknownError("");
  {
    const std::array<std::span<std::byte>, 2> into{
        std::as_writable_bytes(std::span(buffer)).first(1),
        std::as_writable_bytes(std::span(buffer)).subspan(1)};
    const std::array items{GetItem{"a key that is too long for a small string", into},
                           GetItem{"absent", {}}};
    get = async_->SubmitGet(items, {});
  }
  EXPECT_THAT(Codes(Await(get)),
              ElementsAre(absl::StatusCode::kOk, absl::StatusCode::kNotFound));
  EXPECT_EQ(buffer, "abcde");
}

TEST_F(AsyncClientTest, ExistsAndRemoveAnswerPerKey) {
  client_.Insert("b", {"x", ""});
  const std::vector<std::string_view> keys{"a", "b"};
  EXPECT_THAT(Codes(Await(async_->SubmitExists(keys, {}))),
              ElementsAre(absl::StatusCode::kNotFound, absl::StatusCode::kOk));
  EXPECT_THAT(Codes(Await(async_->SubmitRemove(keys, {}))),
              ElementsAre(absl::StatusCode::kNotFound, absl::StatusCode::kOk));
  EXPECT_EQ(client_.size(), 0u);
}

TEST_F(AsyncClientTest, ManyOperationsCompleteOnceEach) {
  std::vector<OperationId> ids;
  for (int i = 0; i < 500; ++i) {
    const std::string_view key = "k";
    const auto id = async_->SubmitExists(std::span(&key, 1), {});
    ASSERT_TRUE(id.ok());
    ids.push_back(*id);
  }
  for (const OperationId id : ids) EXPECT_TRUE(Await(id).status.ok());
  EXPECT_EQ(completed_.size(), 500u);
  EXPECT_THAT(async_->Drain(), IsEmpty());
}

TEST_F(AsyncClientTest, OperationsThatAskForNothingAreRefused) {
  EXPECT_EQ(async_->SubmitGet({}, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(async_->SubmitExists({}, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AsyncClientTest, AnyBlockingCallMayBeSubmitted) {
  const auto id = async_->Submit(
      1, [](milliseconds) { return std::vector<absl::Status>{absl::AbortedError("mine")}; },
      absl::OkStatus(), {.timeout = std::nullopt, .priority = Priority::kPrefetch});
  EXPECT_THAT(Codes(Await(id)), ElementsAre(absl::StatusCode::kAborted));
}

TEST_F(AsyncClientTest, AfterCloseTheDescriptorIsGone) {
  async_->Close();
  const std::string_view key = "k";
  EXPECT_EQ(async_->event_fd(), -1);
  EXPECT_EQ(async_->SubmitExists(std::span(&key, 1), {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(async_->Drain(), IsEmpty());
}

TEST(AsyncClientExpiry, AnOperationThatWaitsBehindABusyThreadCompletesInTime) {
  FakeClient client;
  auto async = AsyncClient::Create(&client, {.threads = 1, .timeout = milliseconds(60'000)});
  ASSERT_TRUE(async.ok());
  absl::Notification running, release;
  const auto busy = (*async)->Submit(
      1,
      [&](milliseconds) {
        running.Notify();
        release.WaitForNotification();
        return std::vector<absl::Status>(1);
      },
      {}, {.timeout = std::nullopt, .priority = Priority::kGet});
  ASSERT_TRUE(busy.ok());
  running.WaitForNotification();
  const std::string_view key = "k";
  const auto late = (*async)->SubmitExists(std::span(&key, 1), {.timeout = milliseconds(5)});
  ASSERT_TRUE(late.ok());
  pollfd fd{(*async)->event_fd(), POLLIN, 0};
  poll(&fd, 1, -1);
  const std::vector<Completion> done = (*async)->Drain();
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].id, *late);
  EXPECT_EQ(done[0].status.code(), absl::StatusCode::kDeadlineExceeded);
  release.Notify();
}

}  // namespace
}  // namespace kvasir
