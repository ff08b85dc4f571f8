#include "service/session_table.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/status_reason.h"
#include "tests/support/fake_transport.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Instant kStart{seconds(100)};

class SessionTableTest : public ::testing::Test {
 protected:
  SessionId MustOpen(Instant now = kStart) { return *table_.Open("name", 42, now); }
  LaneId MustAddLane(SessionId session, ServerTransport* transport) {
    return *table_.AddLane(*table_.Enter(session, kStart), transport);
  }
  bool Live(SessionId session) { return table_.Enter(session, kStart).ok(); }
  bool Live(SessionId session, LaneId lane) {
    return table_.Enter(session, lane, kStart).ok();
  }

  FakeTransport tcp_{TransportKind::kTcp};
  FakeTransport shm_{TransportKind::kShm};
  std::vector<SessionTable::Ended> ended_;
  SessionTable table_{{.sessions_max = 3,
                       .silence = seconds(3),
                       .on_ended = [this](const auto& ended) { ended_.push_back(ended); }}};
};

TEST_F(SessionTableTest, SessionsHaveDistinctIdsAndAreBounded) {
  std::set<std::string> ids;
  for (int n = 0; n < 3; ++n) ids.insert(MustOpen().ToString());
  EXPECT_EQ(ids.size(), 3u);
  const absl::Status status = table_.Open("", 0, kStart).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(status), kReasonLimit);
}

TEST_F(SessionTableTest, AnUnknownSessionIsRefused) {
  const absl::Status status = table_.Enter(SessionId{1, 2}, kStart).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(status), kReasonSessionUnknown);
  EXPECT_EQ(ReasonOf(table_.Enter(SessionId{1, 2}, LaneId{1}, kStart).status()),
            kReasonSessionUnknown);
}

TEST_F(SessionTableTest, AnUnknownLaneIsNotFound) {
  const SessionId session = MustOpen();
  const SessionId other = MustOpen();
  const LaneId lane = MustAddLane(other, &tcp_);
  for (const LaneId wrong : {LaneId{}, LaneId{77}, lane}) {
    const absl::Status status = table_.Enter(session, wrong, kStart).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(ReasonOf(status), kReasonLaneUnknown);
  }
}

TEST_F(SessionTableTest, ACallKnowsItsSessionLaneAndTransport) {
  const SessionId session = MustOpen();
  const LaneId lane = MustAddLane(session, &shm_);
  const auto call = table_.Enter(session, lane, kStart);
  ASSERT_TRUE(call.ok());
  EXPECT_EQ(call->session(), session);
  EXPECT_EQ(call->lane(), lane);
  EXPECT_EQ(call->transport(), &shm_);
  EXPECT_FALSE(call->writes_cut());
}

TEST_F(SessionTableTest, LanesAreBounded) {
  const SessionId session = MustOpen();
  for (size_t n = 0; n < kMaxLanesPerSession; ++n) MustAddLane(session, &tcp_);
  const absl::Status status =
      table_.AddLane(*table_.Enter(session, kStart), &tcp_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(status), kReasonLimit);
  EXPECT_EQ(table_.counts().lanes, kMaxLanesPerSession);
}

TEST_F(SessionTableTest, AForgottenLaneIsGoneWithoutAnEnd) {
  const SessionId session = MustOpen();
  {
    const auto call = table_.Enter(session, kStart);
    table_.ForgetLane(*call, *table_.AddLane(*call, &tcp_));
  }
  EXPECT_EQ(table_.counts().lanes, 0u);
  EXPECT_TRUE(ended_.empty());
}

TEST_F(SessionTableTest, TheEndOfASessionNamesEveryTransportOnce) {
  const SessionId session = MustOpen();
  MustAddLane(session, &tcp_);
  MustAddLane(session, &shm_);
  MustAddLane(session, &tcp_);
  table_.EndSession(session);
  table_.EndSession(session);
  ASSERT_EQ(ended_.size(), 1u);
  EXPECT_EQ(ended_[0].session, session);
  EXPECT_EQ(ended_[0].lane, LaneId{});
  EXPECT_EQ(ended_[0].transports, (std::vector<ServerTransport*>{&tcp_, &shm_}));
  EXPECT_FALSE(Live(session));
  EXPECT_EQ(table_.counts().sessions, 0u);
}

TEST_F(SessionTableTest, ASessionIsRefusedAtOnceButEndsWhenTheLastCallLeaves) {
  const SessionId session = MustOpen();
  {
    const auto first = table_.Enter(session, kStart);
    {
      const auto second = table_.Enter(session, kStart);
      table_.EndSession(session);
      EXPECT_FALSE(Live(session));
      EXPECT_TRUE(table_.sessions().empty());
    }
    EXPECT_TRUE(ended_.empty());
  }
  EXPECT_EQ(ended_.size(), 1u);
}

TEST_F(SessionTableTest, ALaneIsRefusedAtOnceButEndsWhenTheLastCallLeaves) {
  const SessionId session = MustOpen();
  const LaneId lane = MustAddLane(session, &tcp_);
  const LaneId other = MustAddLane(session, &tcp_);
  {
    const auto call = table_.Enter(session, lane, kStart);
    table_.EndLane(session, lane);
    EXPECT_FALSE(Live(session, lane));
    EXPECT_TRUE(ended_.empty());
  }
  ASSERT_EQ(ended_.size(), 1u);
  EXPECT_EQ(ended_[0].lane, lane);
  EXPECT_EQ(ended_[0].transports, std::vector<ServerTransport*>{&tcp_});
  EXPECT_TRUE(Live(session, other));
  table_.EndLane(session, lane);
  EXPECT_EQ(ended_.size(), 1u);
}

TEST_F(SessionTableTest, TheEndOfTheSessionIsTheEndOfALaneThatWaits) {
  const SessionId session = MustOpen();
  const LaneId lane = MustAddLane(session, &tcp_);
  {
    const auto call = table_.Enter(session, lane, kStart);
    table_.EndLane(session, lane);
    table_.EndSession(session);
  }
  ASSERT_EQ(ended_.size(), 1u);
  EXPECT_EQ(ended_[0].lane, LaneId{});
  EXPECT_EQ(ended_[0].transports, std::vector<ServerTransport*>{&tcp_});
}

TEST_F(SessionTableTest, SilenceEndsASessionAndEveryCallIsASignOfLife) {
  const SessionId quiet = MustOpen();
  const SessionId busy = MustOpen();
  ASSERT_TRUE(table_.Enter(busy, kStart + seconds(2)).ok());
  EXPECT_EQ(table_.EndSilent(kStart + seconds(3)), 0u);
  EXPECT_EQ(table_.EndSilent(kStart + seconds(3) + milliseconds(1)), 1u);
  ASSERT_EQ(ended_.size(), 1u);
  EXPECT_EQ(ended_[0].session, quiet);
  EXPECT_EQ(table_.EndSilent(kStart + seconds(5) + milliseconds(1)), 1u);
  EXPECT_EQ(table_.EndSilent(kStart + seconds(50)), 0u);
}

TEST_F(SessionTableTest, SilentSessionsEndInTheOrderOfOpening) {
  const std::vector<SessionId> opened{MustOpen(), MustOpen(), MustOpen()};
  EXPECT_EQ(table_.EndSilent(kStart + seconds(4)), 3u);
  ASSERT_EQ(ended_.size(), 3u);
  for (size_t n = 0; n < 3; ++n) EXPECT_EQ(ended_[n].session, opened[n]);
}

TEST_F(SessionTableTest, ALaneWhoseWritesWereCutSaysSo) {
  const SessionId session = MustOpen();
  const LaneId lane = MustAddLane(session, &tcp_);
  EXPECT_EQ(table_.CutWrites(session, lane), &tcp_);
  EXPECT_TRUE(table_.Enter(session, lane, kStart)->writes_cut());
  EXPECT_EQ(table_.CutWrites(session, LaneId{99}), nullptr);
  table_.EndSession(session);
  EXPECT_EQ(table_.CutWrites(session, lane), nullptr);
}

TEST_F(SessionTableTest, ViewsTellWhoIsConnected) {
  const SessionId session = MustOpen();
  MustAddLane(session, &tcp_);
  ASSERT_TRUE(table_.Enter(session, kStart + seconds(1)).ok());
  const std::vector<SessionTable::View> views = table_.sessions();
  ASSERT_EQ(views.size(), 1u);
  EXPECT_EQ(views[0].session, session);
  EXPECT_EQ(views[0].client_name, "name");
  EXPECT_EQ(views[0].pid, 42u);
  EXPECT_EQ(views[0].lanes, 1u);
  EXPECT_EQ(views[0].opened, kStart);
  EXPECT_EQ(views[0].last_sign, kStart + seconds(1));
}

}  // namespace
}  // namespace kvasir
