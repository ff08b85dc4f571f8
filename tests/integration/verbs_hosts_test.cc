// What a whole host leaves behind at a real kvasird when it dies, or stands still, while its
// NIC writes: no packet tells of either. This is the left of two guests, and the writer is in
// the right one: tools/softroce --two, with right_guest.py there.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limits.h"
#include "rdma/verbs_client.h"
#include "tests/integration/raw_session.h"
#include "tests/rdma/verbs_ends.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

namespace fs = std::filesystem;

constexpr char kFaultyVerbs[] = "tests/integration/libfaulty_verbs.so";
constexpr char kWriter[] = "tests/integration/grant_holder";
constexpr char kDevice[] = "rxe0";
constexpr std::chrono::seconds kPatience{60};
// A NIC gives up after 1.7 s. That of Linux 6.12, having stood still, at times neither goes on
// nor gives up, which shows nothing.
constexpr std::chrono::seconds kNicPatience{10};
// More than half of the 2 MiB of memory, so that the next owner gets some of the same bytes.
constexpr uint64_t kBytes = 5 * kMiB / 4;

bool Peer(const std::string& word) {
  return std::system(("softroce-peer " + word).c_str()) == 0;
}

// Packets that have come to the device and are not refused.
uint64_t ReceivedPackets() {
  std::ifstream file(std::string("/sys/class/infiniband/") + kDevice +
                     "/ports/1/hw_counters/rcvd_pkts");
  uint64_t packets = 0;
  KV_CHECK(static_cast<bool>(file >> packets));
  return packets;
}

// A program in the right guest, by way of right_guest.py.
class RemoteProgram {
 public:
  RemoteProgram(const fs::path& share, const std::vector<std::string>& words)
      : name_(share / ("right." + std::to_string(count_++))) {
    std::ofstream file(name_.string() + ".new");
    for (const std::string& word : words) file << word << "\n";
    file.close();
    fs::rename(name_.string() + ".new", name_);
  }
  bool ended() const { return fs::exists(name_.string() + ".status"); }

 private:
  static inline int count_ = 0;
  const fs::path name_;
};

// Gives signs of a session's life as long as it lives itself.
class Heartbeat {
 public:
  explicit Heartbeat(RawSession* session)
      : thread_([this, session] {
          v1::LookupResponse response;
          do {
            session->Call(&v1::KvService::Stub::Lookup, v1::LookupRequest(), &response);
          } while (!end_.WaitForNotificationWithTimeout(absl::FromChrono(kHeartbeatInterval)));
        }) {}
  ~Heartbeat() { end_.Notify(); }

 private:
  absl::Notification end_;
  std::jthread thread_;  // joined before the notification goes
};

class VerbsHosts : public testing::Test {
 protected:
  void SetUp() override {
    const char* const kind = std::getenv("SOFTROCE");
    const char* const share = std::getenv("SOFTROCE_OUT");
    if (kind == nullptr || std::string(kind) != "left" || share == nullptr) {
      GTEST_SKIP() << "no other host";
    }
    share_ = share;
    client_ = *VerbsClient::Create({.devices = {kDevice}}, Clock::Real());
  }
  // A server with a bystander over rdma, and a writer in the other guest that writes.
  void Start(std::vector<std::string> environment) {
    environment.push_back("LD_PRELOAD=" + fs::absolute(kFaultyVerbs).string());
    auto server = ServerProcess::Start(
        {.flags = {"--listen=10.78.0.1:0", "--insecure=true",
                   std::string("--rdma_device=") + kDevice, "--memory=2MiB"},
         .environment = std::move(environment)});
    EXPECT_TRUE(server.ok()) << server.status();
    KV_CHECK(server.ok());
    server_ = *std::move(server);
    session_ = std::make_unique<RawSession>(server_->listen());
    heartbeat_ = std::make_unique<Heartbeat>(session_.get());
    bystander_ = std::make_unique<RawLane>(session_.get(), client_.get());
    next_owner_ = std::make_unique<RawLane>(session_.get());
    KV_CHECK(bystander_->Open().ok() && next_owner_->Open().ok());
    KV_CHECK(bystander_->Put("mine", mine_).ok());
    objects_ = KernelObjects();
    Await([&] { return StartWriter(); });
  }
  void Stop() {
    heartbeat_.reset();
    bystander_.reset();
    next_owner_.reset();
    session_.reset();
    server_.reset();
  }
  // Returns once it writes; false if it has ended, as its NIC gives up where it is starved.
  bool StartWriter() {
    writer_ = std::make_unique<RemoteProgram>(
        share_, std::vector<std::string>{fs::absolute(kWriter), server_->listen(), "flood",
                                         kDevice, std::to_string(kBytes)});
    uint64_t before = 0;
    Await([&] {
      before = ReceivedPackets();
      const std::map<std::string, double> stats = Stats();
      return writer_->ended() || (stats.at("lanes") == 3 && stats.at("write_leases") == 1);
    });
    Await([&] { return writer_->ended() || ReceivedPackets() > before + 100; });
    return !writer_->ended();
  }
  static void Await(const std::function<bool()>& done) {
    const Instant patience = Clock::Real()->Now() + kPatience;
    while (!done()) KV_CHECK(Clock::Real()->Now() < patience);
  }
  // The same while the bystander reads, and finds what it has written.
  void AwaitUndisturbed(const std::function<bool()>& done) {
    Await([&] {
      const absl::StatusOr<std::string> got = bystander_->Get("mine");
      EXPECT_TRUE(got.ok()) << got.status();
      KV_CHECK(got.ok());
      EXPECT_TRUE(*got == mine_);
      return done();
    });
  }
  // What a NIC that is let go comes to, if it does.
  static void AwaitNic(const std::function<bool()>& done) {
    const Instant patience = Clock::Real()->Now() + kNicPatience;
    while (!done() && Clock::Real()->Now() < patience) {
    }
  }
  bool NextOwnerWrites() { return next_owner_->Put("new", new_).ok(); }
  // How many bytes of the next owner's block are not what it wrote.
  uint64_t LateBytes() {
    const std::string stored = next_owner_->Get("new").value();
    return static_cast<uint64_t>(
        std::count_if(stored.begin(), stored.end(), [](char byte) { return byte != 'n'; }));
  }
  std::map<std::string, double> Stats() {
    v1::GetStatsResponse stats;
    KV_CHECK(session_->stubs().admin->GetStats(NewContext().get(), {}, &stats).ok());
    return {stats.values().begin(), stats.values().end()};
  }

  const std::string mine_ = std::string(64 * kKiB, 'm');
  const std::string new_ = std::string(kBytes, 'n');
  fs::path share_;
  std::unique_ptr<VerbsClient> client_;
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<RawSession> session_;
  std::unique_ptr<Heartbeat> heartbeat_;
  std::unique_ptr<RawLane> bystander_, next_owner_;
  std::unique_ptr<RemoteProgram> writer_;
  std::string objects_;
};

// ---- A host that stands still until its grant is gone, and then goes on writing

TEST_F(VerbsHosts, OneThatGoesOnLeavesNoByteInReusedMemory) {
  Start({});
  ASSERT_TRUE(Peer("stop"));
  AwaitUndisturbed([&] { return NextOwnerWrites(); });
  EXPECT_EQ(Stats().at("expired_sessions_total"), 1);
  ASSERT_TRUE(Peer("cont"));
  AwaitNic([&] {
    EXPECT_TRUE(bystander_->Get("mine").value_or("") == mine_);
    return writer_->ended();
  });
  EXPECT_EQ(LateBytes(), 0u);
  EXPECT_EQ(KernelObjects(), objects_);
}

// The control: the same with a server whose fences only say that they are done.
TEST_F(VerbsHosts, OneThatGoesOnLeavesSomeWhereTheFenceIsNone) {
  constexpr int kTellingsMax = 4;
  uint64_t late = 0;
  for (int n = 0; n < kTellingsMax && late == 0; ++n) {
    Start({"FAULTY_VERBS_DEAF=1"});
    ASSERT_TRUE(Peer("stop"));
    AwaitUndisturbed([&] { return NextOwnerWrites(); });
    ASSERT_TRUE(Peer("cont"));
    AwaitNic([&] {
      late = LateBytes();
      return late > 0 || writer_->ended();
    });
    Stop();
    AwaitNic([&] { return writer_->ended(); });
  }
  EXPECT_GT(late, 0u);
}

// ---- A host that dies. The last story: it does not come back.

TEST_F(VerbsHosts, OneThatDiesIsFencedBeforeItsMemoryIsReused) {
  const std::string path = testing::TempDir() + "/stuck";
  const UniqueFd lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  KV_CHECK(lock.valid() && flock(lock.get(), LOCK_EX) == 0);
  Start({"FAULTY_VERBS_STUCK=" + path});
  ASSERT_TRUE(Peer("kill"));
  AwaitUndisturbed([&] { return Stats().at("quarantined_bytes") == kBytes; });
  EXPECT_EQ(Stats().at("expired_sessions_total"), 1);
  EXPECT_FALSE(NextOwnerWrites());

  KV_CHECK(flock(lock.get(), LOCK_UN) == 0);
  AwaitUndisturbed([&] { return NextOwnerWrites(); });
  EXPECT_EQ(LateBytes(), 0u);
  EXPECT_EQ(Stats().at("quarantined_bytes"), 0);
  EXPECT_EQ(KernelObjects(), objects_);
}

}  // namespace
}  // namespace kvasir
