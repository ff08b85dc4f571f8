// AdminService of a real server, as grpcurl and the CLI use it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "base/status_reason.h"
#include "tests/integration/raw_session.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

using grpc::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

class AdminTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto started = ServerProcess::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = started->release();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  AdminTest() : session_(server_->listen()), lane_(&session_) {
    EXPECT_EQ(lane_.Open(), absl::OkStatus());
    v1::ClearRequest everything;
    everything.set_all(true);
    v1::ClearResponse cleared;
    EXPECT_TRUE(Call(&Stub::Clear, everything, &cleared).ok());
  }

  using Stub = v1::AdminService::Stub;
  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                 Response*),
                    const Request& request, Response* response) {
    const auto context = NewContext();
    return (session_.stubs().admin.get()->*method)(context.get(), request, response);
  }
  void Put(std::string_view key, std::string_view value = "value") {
    ASSERT_EQ(lane_.Put(key, value), absl::OkStatus());
  }
  std::vector<std::string> ListAll(v1::ListRequest request, int* pages) {
    std::vector<std::string> keys;
    v1::ListResponse response;
    *pages = 0;
    do {
      request.set_page_token(response.next_page_token());
      EXPECT_TRUE(Call(&Stub::List, request, &response).ok());
      for (const v1::KeyInfo& info : response.keys()) keys.push_back(info.key());
      ++*pages;
    } while (!response.next_page_token().empty());
    return keys;
  }

  static ServerProcess* server_;
  RawSession session_;
  RawLane lane_;
};
ServerProcess* AdminTest::server_ = nullptr;

TEST_F(AdminTest, PingTellsWhoAnswers) {
  v1::PingResponse ping;
  ASSERT_TRUE(Call(&Stub::Ping, v1::PingRequest(), &ping).ok());
  EXPECT_EQ(ping.node_name(), "test");
  EXPECT_EQ(ping.epoch(), session_.opened().epoch());
}

TEST_F(AdminTest, AKeyIsFoundByItsBytesAndByItsText) {
  const std::string key("a/\0\\..\xFF", 7);
  Put(key);
  v1::StatRequest stat;
  stat.mutable_name()->set_key(key);
  v1::StatResponse by_bytes;
  ASSERT_TRUE(Call(&Stub::Stat, stat, &by_bytes).ok());
  EXPECT_EQ(by_bytes.info().text(), "a/\\x00\\x5c..\\xff");
  EXPECT_EQ(by_bytes.info().size_bytes(), 5u);
  EXPECT_EQ(by_bytes.info().residency(), v1::RESIDENCY_MEMORY);

  stat.mutable_name()->set_text(by_bytes.info().text());
  v1::StatResponse by_text;
  ASSERT_TRUE(Call(&Stub::Stat, stat, &by_text).ok());
  EXPECT_EQ(by_text.info().key(), key);
}

TEST_F(AdminTest, StatOfAMissIsNotFound) {
  v1::StatRequest stat;
  stat.mutable_name()->set_text("nobody");
  v1::StatResponse response;
  EXPECT_EQ(Call(&Stub::Stat, stat, &response).error_code(), StatusCode::NOT_FOUND);
}

TEST_F(AdminTest, ExistsIsAlignedWithTheKeys) {
  Put("here");
  v1::ExistsRequest request;
  request.add_keys()->set_text("gone");
  request.add_keys()->set_text("here");
  v1::ExistsResponse response;
  ASSERT_TRUE(Call(&Stub::Exists, request, &response).ok());
  EXPECT_THAT(response.residencies(),
              ElementsAre(v1::RESIDENCY_ABSENT, v1::RESIDENCY_MEMORY));
}

TEST_F(AdminTest, BadKeysAreRefusedWithTheirPlace) {
  v1::ExistsRequest request;
  request.add_keys()->set_text("fine");
  v1::KeyName* const second = request.add_keys();
  v1::ExistsResponse response;
  grpc::Status status = Call(&Stub::Exists, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("keys[1]: neither key nor text"));
  second->set_key("");
  status = Call(&Stub::Exists, request, &response);
  EXPECT_THAT(status.error_message(), HasSubstr("keys[1]: the key is empty"));
  EXPECT_EQ(ReasonIn(status), kReasonBadRequest);
  second->set_key(std::string(kMaxKeyBytes + 1, 'k'));
  status = Call(&Stub::Exists, request, &response);
  EXPECT_THAT(status.error_message(), HasSubstr("1025 bytes"));
  EXPECT_EQ(ReasonIn(status), kReasonLimit);
  second->set_key(std::string(kMaxKeyBytes, 'k'));
  EXPECT_TRUE(Call(&Stub::Exists, request, &response).ok());
  for (size_t i = 0; i < kMaxKeysPerCall; ++i) request.add_keys()->set_text("k");
  status = Call(&Stub::Exists, request, &response);
  EXPECT_EQ(ReasonIn(status), kReasonLimit);
}

TEST_F(AdminTest, ListPagesThroughAPrefixInByteOrder) {
  for (const std::string_view key : {"p/b", "p/a", "q", "p/c", "p/\xFF", "o"}) Put(key);
  v1::ListRequest request;
  request.set_prefix_text("p/");
  request.set_page_size(3);
  int pages = 0;
  EXPECT_THAT(ListAll(request, &pages), ElementsAre("p/a", "p/b", "p/c", "p/\xFF"));
  EXPECT_EQ(pages, 2);
  request.set_page_size(4);
  EXPECT_EQ(ListAll(request, &pages).size(), 4u);
  EXPECT_EQ(pages, 1);
}

TEST_F(AdminTest, APageOfTheLongestKeysFitsIntoAMessage) {
  for (int i = 0; i < 900; ++i) Put(std::to_string(1000 + i) + std::string(1020, '\xFE'));
  v1::ListRequest request;
  request.set_page_size(kMaxListPageSize);
  int pages = 0;
  EXPECT_EQ(ListAll(request, &pages).size(), 900u);
  EXPECT_GT(pages, 1);
}

TEST_F(AdminTest, ListRefusesWhatItDidNotSay) {
  v1::ListRequest request;
  request.set_page_size(kMaxListPageSize + 1);
  v1::ListResponse response;
  EXPECT_EQ(ReasonIn(Call(&Stub::List, request, &response)), kReasonLimit);
  request.set_page_size(1);
  request.set_page_token("*not base64*");
  EXPECT_EQ(ReasonIn(Call(&Stub::List, request, &response)), kReasonBadRequest);
}

TEST_F(AdminTest, PinsAreListedByOwnerAndDroppedByKeyOrOwner) {
  for (const std::string_view key : {"a", "b", "c"}) Put(key);
  v1::PinRequest pin;
  pin.set_owner("lookup-1");
  pin.set_ttl_ms(60'000);
  for (const char* key : {"a", "b", "c", "missing"}) pin.add_keys()->set_text(key);
  v1::PinResponse pinned;
  ASSERT_TRUE(Call(&Stub::Pin, pin, &pinned).ok());
  EXPECT_THAT(pinned.outcomes(), ElementsAre(v1::KEY_OUTCOME_OK, v1::KEY_OUTCOME_OK,
                                             v1::KEY_OUTCOME_OK, v1::KEY_OUTCOME_MISS));
  v1::ListPinsRequest list;
  list.set_page_size(2);
  v1::ListPinsResponse first, second;
  ASSERT_TRUE(Call(&Stub::ListPins, list, &first).ok());
  list.set_page_token(first.next_page_token());
  ASSERT_TRUE(Call(&Stub::ListPins, list, &second).ok());
  ASSERT_EQ(first.pins_size(), 2);
  ASSERT_EQ(second.pins_size(), 1);
  EXPECT_EQ(second.pins(0).text(), "c");
  EXPECT_EQ(second.pins(0).owner(), "lookup-1");
  EXPECT_GT(second.pins(0).ttl_left_ms(), 0u);
  EXPECT_TRUE(second.next_page_token().empty());

  v1::UnpinRequest unpin;
  unpin.set_owner("lookup-1");
  unpin.add_keys()->set_text("b");
  v1::UnpinResponse unpinned;
  ASSERT_TRUE(Call(&Stub::Unpin, unpin, &unpinned).ok());
  EXPECT_EQ(unpinned.unpinned_count(), 1u);
  unpin.clear_keys();
  ASSERT_TRUE(Call(&Stub::Unpin, unpin, &unpinned).ok());
  EXPECT_EQ(unpinned.unpinned_count(), 2u);
}

TEST_F(AdminTest, PinsNeedAnOwnerAndATtlWithinBounds) {
  v1::PinRequest pin;
  pin.set_ttl_ms(1000);
  v1::PinResponse response;
  EXPECT_EQ(ReasonIn(Call(&Stub::Pin, pin, &response)), kReasonBadRequest);
  pin.set_owner(std::string(kMaxOwnerBytes + 1, 'o'));
  EXPECT_EQ(ReasonIn(Call(&Stub::Pin, pin, &response)), kReasonLimit);
  pin.set_owner("o");
  for (const uint32_t ttl_ms : {0u, 86'400'001u}) {
    pin.set_ttl_ms(ttl_ms);
    EXPECT_EQ(ReasonIn(Call(&Stub::Pin, pin, &response)), kReasonLimit) << ttl_ms;
  }
}

TEST_F(AdminTest, RemoveAnswersKeyByKey) {
  Put("x");
  v1::RemoveKeysRequest request;
  request.add_keys()->set_text("x");
  request.add_keys()->set_text("x");
  v1::RemoveKeysResponse response;
  ASSERT_TRUE(Call(&Stub::RemoveKeys, request, &response).ok());
  EXPECT_THAT(response.outcomes(), ElementsAre(v1::KEY_OUTCOME_OK, v1::KEY_OUTCOME_MISS));
  EXPECT_FALSE(lane_.Get("x").ok());
}

TEST_F(AdminTest, ClearOfAPrefixSparesTheRestAndOfAllMustBeSaid) {
  for (const std::string_view key : {"p/1", "p/2", "q"}) Put(key);
  v1::ClearRequest request;
  v1::ClearResponse response;
  EXPECT_EQ(ReasonIn(Call(&Stub::Clear, request, &response)), kReasonBadRequest);
  request.set_prefix_text("p/");
  ASSERT_TRUE(Call(&Stub::Clear, request, &response).ok());
  EXPECT_EQ(response.removed_count(), 2u);
  EXPECT_TRUE(lane_.Get("q").ok());
}

TEST_F(AdminTest, NodeInfoShowsConfigurationAndSessions) {
  v1::GetNodeInfoResponse info;
  ASSERT_TRUE(Call(&Stub::GetNodeInfo, v1::GetNodeInfoRequest(), &info).ok());
  EXPECT_EQ(info.node_name(), "test");
  EXPECT_EQ(info.health(), "HEALTHY");
  EXPECT_EQ(info.listen(), server_->listen());
  EXPECT_EQ(info.data_listen(), server_->data_listen());
  EXPECT_EQ(info.http_listen(), server_->http_listen());
  EXPECT_EQ(info.memory_bytes(), 64 * kMiB);
  EXPECT_EQ(info.eviction_policy(), "s3fifo");
  EXPECT_EQ(info.data_dir(), "") << "this node has no disk";
  EXPECT_FALSE(info.version().empty());
  bool found = false;
  for (const v1::SessionInfo& session : info.sessions()) {
    EXPECT_EQ(session.session().size(), 8u) << "a session's whole id is its credential";
    found = found || (session.client_name() == "raw" && session.lanes() == 1);
  }
  EXPECT_TRUE(found);
}

TEST_F(AdminTest, StatsAddUpToTheWholeArena) {
  Put("one", std::string(100'000, '1'));
  v1::GetStatsResponse stats;
  ASSERT_TRUE(Call(&Stub::GetStats, v1::GetStatsRequest(), &stats).ok());
  const auto& values = stats.values();
  EXPECT_EQ(values.at("blocks"), 1);
  EXPECT_EQ(values.at("memory_capacity_bytes"), 64.0 * kMiB);
  EXPECT_EQ(values.at("memory_free_bytes") + values.at("block_bytes") +
                values.at("reserved_bytes") + values.at("unbound_bytes"),
            values.at("memory_capacity_bytes"));
  EXPECT_GE(values.at("transport_bytes_total{direction=\"put\",transport=\"tcp\"}"), 1e5);
}

}  // namespace
}  // namespace kvasir
