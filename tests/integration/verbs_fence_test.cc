// Fences of the real kvasird over rdma that do not return, and that are none: what
// libfaulty_verbs.so makes of them. Needs a wire that can be shaped: tools/softroce --wire.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limits.h"
#include "rdma/verbs_client.h"
#include "tests/integration/grant_holder_process.h"
#include "tests/integration/raw_session.h"
#include "tests/rdma/verbs_ends.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

using testing::HasSubstr;

constexpr char kFaultyVerbs[] = "tests/integration/libfaulty_verbs.so";
constexpr std::chrono::seconds kPatience{60};
constexpr uint32_t kLongMs = static_cast<uint32_t>(kMaxLeaseTtl.count());
constexpr uint32_t kShortMs = static_cast<uint32_t>(kMinLeaseTtl.count());

bool Wire(const std::string& command) {
  return std::system(("softroce-wire " + command).c_str()) == 0;
}

void Await(const std::function<bool()>& done) {
  const Instant patience = Clock::Real()->Now() + kPatience;
  while (!done()) KV_CHECK(Clock::Real()->Now() < patience);
}

// Packets that have come to a device and are not refused.
uint64_t ReceivedPackets(const std::string& device) {
  std::ifstream file("/sys/class/infiniband/" + device + "/ports/1/hw_counters/rcvd_pkts");
  uint64_t packets = 0;
  KV_CHECK(static_cast<bool>(file >> packets));
  return packets;
}

class VerbsFence : public testing::Test {
 protected:
  void SetUp() override {
    ends_ = VerbsEnds::Find();
    const char* const kind = std::getenv("SOFTROCE");
    if (ends_.empty() || kind == nullptr || std::string(kind) != "wire") {
      GTEST_SKIP() << "no wire between RDMA devices to shape";
    }
    client_ = *VerbsClient::Create(ends_.Right(), Clock::Real());
  }
  void TearDown() override {
    if (client_ != nullptr) Wire("unshape");
  }
  void Start(const std::string& memory, std::vector<std::string> environment) {
    if (!environment.empty()) {
      environment.push_back("LD_PRELOAD=" + std::filesystem::absolute(kFaultyVerbs).string());
    }
    auto server = ServerProcess::Start({.flags = {"--rdma_device=" + ends_.left[0],
                                                  "--memory=" + memory,
                                                  "--session_silence=60s"},
                                        .environment = std::move(environment)});
    KV_CHECK(server.ok());
    server_ = *std::move(server);
    stubs_ = std::make_unique<RawStubs>(server_->listen());
  }
  std::map<std::string, double> Stats() {
    v1::GetStatsResponse stats;
    KV_CHECK(stubs_->admin->GetStats(NewContext().get(), {}, &stats).ok());
    return {stats.values().begin(), stats.values().end()};
  }
  HttpAnswer Ready() { return HttpGet(server_->http_listen(), "/readyz"); }

  VerbsEnds ends_;
  std::unique_ptr<VerbsClient> client_;
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<RawStubs> stubs_;
};

// ---- A fence that does not return

// A file that destroys of queue pairs wait for.
class Lock {
 public:
  explicit Lock(const std::string& path)
      : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    KV_CHECK(fd_.valid() && flock(fd_.get(), LOCK_EX) == 0);
  }
  void Release() { KV_CHECK(flock(fd_.get(), LOCK_UN) == 0); }

 private:
  UniqueFd fd_;
};

TEST_F(VerbsFence, OneThatIsStuckKeepsItsMemoryAndSaysSoWhileOthersGoOn) {
  constexpr uint64_t kHeldBytes = kMiB;
  constexpr uint64_t kBytes = 64 * kKiB;
  constexpr int kPuts = 16 * kMiB / kBytes;  // more than what is left of memory
  const std::string path = testing::TempDir() + "/stuck";
  Lock lock(path);
  Start("16MiB", {"FAULTY_VERBS_STUCK=" + path});
  RawSession session(server_->listen()), other(server_->listen());
  RawLane before(&other, client_.get());
  ASSERT_TRUE(before.Open().ok());
  std::vector<v1::WriteGrant> held;
  {
    RawLane lane(&session, client_.get());
    ASSERT_TRUE(lane.Open().ok());
    held = {*lane.Grant("long", kHeldBytes, kLongMs),
            *lane.Grant("short", kHeldBytes, kShortMs)};
    Await([&] { return Stats().at("quarantined_bytes") == kHeldBytes; });
    v1::CloseSessionResponse closed;
    ASSERT_TRUE(session.Call(&v1::KvService::Stub::CloseSession, v1::CloseSessionRequest(),
                             &closed).ok());
  }
  Await([&] { return Stats().at("quarantined_bytes") == 2 * kHeldBytes; });

  // Others fill the memory again and again, on lanes from before and from now.
  RawLane after(&other, client_.get());
  ASSERT_TRUE(after.Open().ok());
  const std::string value(kBytes, 'v');
  int hits = 0;
  for (int i = 0; i < kPuts || Ready().status == 200; ++i) {
    RawLane& lane = i % 2 == 0 ? before : after;
    const std::string key = std::to_string(i);
    const auto grant = lane.Grant(key, kBytes);
    ASSERT_TRUE(grant.ok() && grant->outcome() == v1::KEY_OUTCOME_OK) << grant.status();
    for (const v1::WriteGrant& one : held) {
      EXPECT_TRUE(grant->offset_bytes() + kBytes <= one.offset_bytes() ||
                  one.offset_bytes() + kHeldBytes <= grant->offset_bytes());
    }
    ASSERT_TRUE(lane.Fill(*grant, value).ok());
    ASSERT_EQ(lane.Commit(*grant, key, value), v1::KEY_OUTCOME_OK);
    // Leases to read are not given back here: few of them, or they fill the memory.
    if (i % 16 != 0) continue;
    const absl::StatusOr<std::string> got = lane.Get(key);
    hits += got.ok() ? 1 : 0;  // what is new may be evicted first
    EXPECT_EQ(got.value_or(value), value);
  }
  EXPECT_GT(hits, 0);
  const HttpAnswer answer = Ready();
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, HasSubstr("FENCE_STUCK"));
  EXPECT_THAT(answer.body, HasSubstr(std::to_string(2 * kHeldBytes) + " bytes"));
  EXPECT_GT(Stats().at("oldest_fence_seconds"), 10);
  EXPECT_EQ(Stats().at("quarantined_bytes"), 2 * kHeldBytes);

  lock.Release();
  Await([&] { return Stats().at("quarantined_bytes") == 0; });
  const std::map<std::string, double> stats = Stats();
  EXPECT_EQ(stats.at("oldest_fence_seconds"), 0);
  EXPECT_EQ(stats.at("memory_free_bytes") + stats.at("block_bytes"),
            stats.at("memory_capacity_bytes"));
  EXPECT_EQ(Ready().status, 200);
}

// ---- A client that is killed while it writes

class AKilledClient : public VerbsFence {
 protected:
  // More than half of the memory, so that the next owner gets some of the same bytes.
  static constexpr uint64_t kBytes = 5 * kMiB / 4;

  // How many bytes of the next owner's block are not what it wrote, once all that the dead
  // one's NIC has sent has come out of the wire.
  uint64_t LateBytes(std::vector<std::string> environment) {
    Start("2MiB", std::move(environment));
    RawSession session(server_->listen());
    RawLane lane(&session);  // over tcp, past the wire
    KV_CHECK(lane.Open().ok());
    // What soft-RoCE has under way of a queue pair, 256 KiB, takes half a second. It may
    // not be much more: rxe gives a queue pair 0.8 s to go.
    KV_CHECK(Wire("shape rate 4mbit"));
    const std::unique_ptr<GrantHolder> writer = StartWriter();
    writer->Signal(SIGKILL);
    const std::string value(kBytes, 'n');
    Await([&] { return lane.Put("new", value).ok(); });
    AwaitAllSent();
    const std::string stored = lane.Get("new").value();
    return static_cast<uint64_t>(
        std::count_if(stored.begin(), stored.end(), [](char byte) { return byte != 'n'; }));
  }

 private:
  // Returns while it writes. A NIC that is starved on a busy machine gives up, and its writer
  // ends before it is killed: then another one takes its place.
  std::unique_ptr<GrantHolder> StartWriter() {
    std::unique_ptr<GrantHolder> writer;
    Await([&] {
      writer = std::make_unique<GrantHolder>(std::vector<std::string>{
          server_->listen(), "flood", ends_.right[0], std::to_string(kBytes)});
      if (!writer->AwaitReady()) return false;
      const uint64_t before = ReceivedPackets(ends_.left[0]);
      Await([&] {
        return writer->ended() || ReceivedPackets(ends_.left[0]) > before + 8;
      });
      return !writer->ended();
    });
    return writer;
  }
  // A wire is a queue: what a new lane sends comes out behind all that is on it.
  void AwaitAllSent() {
    RawSession session(server_->listen());
    Await([&] { return RawLane(&session, client_.get()).Open().ok(); });
  }
};

TEST_F(AKilledClient, LeavesNoByteInReusedMemory) { EXPECT_EQ(LateBytes({}), 0u); }

// The control: the same with a server whose fences only say that they are done. On a busy
// machine the wire may be empty before the memory is reused, which shows nothing.
TEST_F(AKilledClient, LeavesSomeWhereTheFenceIsNone) {
  constexpr int kTellingsMax = 8;
  uint64_t late = 0;
  for (int n = 0; n < kTellingsMax && late == 0; ++n) {
    late = LateBytes({"FAULTY_VERBS_DEAF=1"});
    Wire("unshape");
  }
  EXPECT_GT(late, 0u);
}

}  // namespace
}  // namespace kvasir
