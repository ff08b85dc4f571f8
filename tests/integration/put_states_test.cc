// A key while somebody is filling it: what readers and other writers see, through the
// SDK, of a writer that goes step by step.

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "base/limits.h"
#include "client/client.h"
#include "tests/integration/raw_session.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

class PutStatesTest : public testing::TestWithParam<TransportChoice> {
 protected:
  static void SetUpTestSuite() {
    auto server = ServerProcess::Start({.flags = {"--session_silence=60s"}});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = server->release();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override {
    ClientOptions options;
    options.nodes = {server_->listen()};
    options.transport = GetParam();
    options.timeout = std::chrono::seconds(20);
    client_ = *Client::Connect(options);
    writer_ = std::make_unique<RawSession>(server_->listen());
    lane_ = std::make_unique<RawLane>(writer_.get());
    ASSERT_TRUE(lane_->Open().ok());
    key_ = testing::UnitTest::GetInstance()->current_test_info()->name();
  }

  absl::Status Put(std::string_view value, const PutOptions& options = {}) {
    const std::span<const std::byte> slice = std::as_bytes(std::span(value));
    const PutItem item{key_, std::span(&slice, 1), {}};
    return client_->Put(std::span(&item, 1), options)[0];
  }
  // The value, or "" for a miss.
  std::string Get() {
    class Buffer final : public Sink {
     public:
      void Place(std::span<Landing> landings) override {
        value.resize(landings[0].size_bytes);
        landings[0].local = std::as_writable_bytes(std::span(value));
      }
      std::string value;
    } buffer;
    const std::string_view key = key_;
    const absl::Status status = client_->Get(std::span(&key, 1), buffer, {})[0];
    EXPECT_TRUE(status.ok() || absl::IsNotFound(status)) << status;
    return status.ok() ? buffer.value : "";
  }
  v1::WriteGrant Grant(size_t size_bytes, bool replace = false) {
    v1::LaneRequest request;
    request.mutable_grant_writes()->set_ttl_ms(30'000);
    request.mutable_grant_writes()->set_replace(replace);
    v1::WriteIntent* const intent = request.mutable_grant_writes()->add_writes();
    intent->set_key(key_);
    intent->set_size_bytes(size_bytes);
    const v1::LaneResponse response = lane_->Exchange(request);
    EXPECT_EQ(response.grant_writes().grants(0).outcome(), v1::KEY_OUTCOME_OK);
    return response.grant_writes().grants(0);
  }
  void Abort(const v1::WriteGrant& grant) {
    v1::LaneRequest request;
    request.mutable_abort()->add_leases(grant.lease());
    EXPECT_TRUE(lane_->Exchange(request).has_abort());
  }

  static ServerProcess* server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<RawSession> writer_;
  std::unique_ptr<RawLane> lane_;
  std::string key_;
  const std::string value_ = std::string(300'000, 'v');
};
ServerProcess* PutStatesTest::server_ = nullptr;

INSTANTIATE_TEST_SUITE_P(Transports, PutStatesTest,
                         testing::Values(TransportChoice::kShm, TransportChoice::kTcp),
                         [](const auto& info) {
                           return info.param == TransportChoice::kShm ? "Shm" : "Tcp";
                         });

TEST_P(PutStatesTest, AKeyIsAMissUntilTheCommitAndAHitFromThenOn) {
  const v1::WriteGrant grant = Grant(value_.size());
  EXPECT_EQ(Get(), "");
  ASSERT_TRUE(lane_->Fill(grant, value_).ok());
  EXPECT_EQ(Get(), "");
  EXPECT_FALSE(client_->Exists(key_, {}));
  ASSERT_EQ(lane_->Commit(grant, key_, value_), v1::KEY_OUTCOME_OK);
  EXPECT_TRUE(Get() == value_);
}

TEST_P(PutStatesTest, AnotherWriterIsToldThatTheKeyIsBeingFilled) {
  const v1::WriteGrant grant = Grant(value_.size());
  EXPECT_TRUE(absl::IsAborted(Put("theirs")));
  ASSERT_TRUE(lane_->Fill(grant, value_).ok());
  ASSERT_EQ(lane_->Commit(grant, key_, value_), v1::KEY_OUTCOME_OK);
  EXPECT_TRUE(absl::IsAlreadyExists(Put("theirs")));
  EXPECT_TRUE(Get() == value_);
}

TEST_P(PutStatesTest, APutAbortedHalfWayLeavesNothingAndFreesTheKey) {
  for (const bool filled : {false, true}) {
    const v1::WriteGrant grant = Grant(value_.size());
    if (filled) {
      ASSERT_TRUE(lane_->Fill(grant, value_).ok());
    }
    Abort(grant);
    EXPECT_EQ(Get(), "");
    EXPECT_EQ(lane_->Commit(grant, key_, value_), v1::KEY_OUTCOME_MISS);
  }
  ASSERT_EQ(Put("theirs"), absl::OkStatus());
  EXPECT_EQ(Get(), "theirs");
}

TEST_P(PutStatesTest, BytesThatDoNotMatchTheirChecksumAreNeverSeen) {
  const v1::WriteGrant grant = Grant(value_.size());
  ASSERT_TRUE(lane_->Fill(grant, value_).ok());
  EXPECT_EQ(lane_->Commit(grant, key_, std::string(value_.size(), 'w')),
            v1::KEY_OUTCOME_CHECKSUM_MISMATCH);
  EXPECT_EQ(Get(), "");
}

TEST_P(PutStatesTest, WhileABlockIsReplacedReadersSeeTheOldOne) {
  ASSERT_EQ(Put("old"), absl::OkStatus());
  const v1::WriteGrant grant = Grant(value_.size(), /*replace=*/true);
  ASSERT_TRUE(lane_->Fill(grant, value_).ok());
  EXPECT_EQ(Get(), "old");
  ASSERT_EQ(lane_->Commit(grant, key_, value_), v1::KEY_OUTCOME_OK);
  EXPECT_TRUE(Get() == value_);
}

TEST_P(PutStatesTest, OfTwoThatReplaceTheLastCommitWins) {
  const v1::WriteGrant grant = Grant(value_.size(), /*replace=*/true);
  ASSERT_EQ(Put("theirs", {.replace = true}), absl::OkStatus());
  EXPECT_EQ(Get(), "theirs");
  ASSERT_TRUE(lane_->Fill(grant, value_).ok());
  ASSERT_EQ(lane_->Commit(grant, key_, value_), v1::KEY_OUTCOME_OK);
  EXPECT_TRUE(Get() == value_);
}

TEST_P(PutStatesTest, ABlockMayBeRemovedWhileItIsReplaced) {
  ASSERT_EQ(Put("old"), absl::OkStatus());
  const v1::WriteGrant grant = Grant(value_.size(), /*replace=*/true);
  const std::string_view key = key_;
  EXPECT_EQ(client_->Remove(std::span(&key, 1), {})[0], absl::OkStatus());
  EXPECT_EQ(Get(), "");
  ASSERT_TRUE(lane_->Fill(grant, value_).ok());
  ASSERT_EQ(lane_->Commit(grant, key_, value_), v1::KEY_OUTCOME_OK);
  EXPECT_TRUE(Get() == value_);
}

}  // namespace
}  // namespace kvasir
