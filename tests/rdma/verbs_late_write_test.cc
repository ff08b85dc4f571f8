// Bytes that arrive late, on a wire that is slow or cut: whether any of them lands in
// memory that has been given to somebody else. Each story is told with the fence and
// without it, because a test that cannot fail is no test.
//
// The core is compiled here with rules that can be switched off (base/rules.h). Needs a
// wire that can be shaped: tools/softroce --wire.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/region.h"
#include "base/rules.h"
#include "gtest/gtest.h"
#include "kvasir/v1/kv.pb.h"
#include "rdma/verbs_client.h"
#include "rdma/verbs_client_rail.h"
#include "rdma/verbs_device.h"
#include "rdma/verbs_server.h"
#include "rdma/verbs_wire.h"
#include "service/kv_core.h"
#include "service/lease_table.h"
#include "storage/arena.h"
#include "storage/tiered_store.h"
#include "tests/rdma/transport_contract.h"
#include "tests/rdma/verbs_ends.h"
#include "tests/support/server_loops.h"

namespace kvasir {
namespace {

// Linked for its helpers.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TransportContract);

constexpr uint64_t kArenaBytes = 6 * kMiB;
// More than half of the arena, so that the next owner gets some of the same bytes; at 10
// MB/s it takes far longer than the grant lasts.
constexpr uint64_t kBlockBytes = 4 * kMiB;
constexpr std::byte kLate{0x1a};
constexpr std::byte kNew{0x2b};
constexpr std::chrono::seconds kPatience{60};
// Busy machines are silent for long; no story is about a session's end by that.
constexpr std::chrono::minutes kSilence{10};

Instant Soon() { return Clock::Real()->Now() + kPatience; }

bool Wire(const std::string& command) {
  return std::system(("softroce-wire " + command).c_str()) == 0;
}

// Spins, which is what a crank is for.
void Await(const std::function<bool()>& done) {
  const Instant patience = Soon();
  while (!done()) KV_CHECK(Clock::Real()->Now() < patience);
}

// One writing client: a lane, and memory full of kLate.
class Writer {
 public:
  Writer(const VerbsDeviceOptions& devices, Rendezvous rendezvous) : memory_(kBlockBytes, kLate) {
    client_ = *VerbsClient::Create(devices, Clock::Real());
    registration_ = *client_->Register(memory_);
    absl::StatusOr<std::unique_ptr<Lane>> lane = client_->Connect(rendezvous, Soon());
    EXPECT_TRUE(lane.ok()) << lane.status();
    KV_CHECK(lane.ok());
    lane_ = *std::move(lane);
  }
  // Writes the block, whatever its lease says.
  absl::Status Write(const Token& token) {
    const std::span<std::byte> slice =
        std::span(memory_).first(token.extent.size_bytes);
    Transfer transfer{.token = token, .local = std::span(&slice, 1), .want_checksum = false};
    lane_->Run(std::span(&transfer, 1), Soon());
    return transfer.status;
  }

 private:
  std::vector<std::byte> memory_;
  std::unique_ptr<VerbsClient> client_;
  std::unique_ptr<MemoryRegion> registration_;
  std::unique_ptr<Lane> lane_;
};

// A NIC that goes on by itself: one WRITE, whose queue pair stays until the object dies,
// whether it was answered or given up.
class BareWriter {
 public:
  // 64 packets, which is as many as soft-RoCE has under way from one queue pair.
  static constexpr uint64_t kBytes = 64 * 4096;

  BareWriter(const VerbsDeviceOptions& devices, Rendezvous rendezvous)
      : memory_(kBytes, kLate),
        device_(*VerbsDevice::Open(devices.devices[0], devices)),
        mr_(*device_->Register(memory_, IBV_ACCESS_LOCAL_WRITE)),
        rail_(*VerbsClientRail::Make(device_.get())) {
    const auto answer = rendezvous(EncodeVerbsHello({.rails = {rail_->address()}}));
    KV_CHECK(answer.ok());
    offer_ = *DecodeVerbsOffer(*answer);
    KV_CHECK(rail_->Connect(offer_.rails[0]).ok());
  }
  // Returns when the NIC has sent it all.
  void Post(const Token& token) {
    const uint64_t before = SentPackets();
    const ibv_sge slice = {.addr = reinterpret_cast<uint64_t>(memory_.data()),
                           .length = static_cast<uint32_t>(kBytes),
                           .lkey = mr_->lkey};
    const VerbsRegion& region = offer_.regions[0];
    rail_->Add({.access = Access::kWrite,
                .remote_address = region.address + token.extent.offset_bytes,
                .remote_key = region.keys[0].write,
                .slices = std::span(&slice, 1),
                .bytes = kBytes});
    KV_CHECK(rail_->Post().ok());
    Await([&] { return SentPackets() >= before + kBytes / offer_.rails[0].mtu_bytes; });
  }

 private:
  uint64_t SentPackets() const {
    std::ifstream file("/sys/class/infiniband/" + device_->name() +
                       "/ports/1/hw_counters/sent_pkts");
    uint64_t packets = 0;
    KV_CHECK(static_cast<bool>(file >> packets));
    return packets;
  }

  std::vector<std::byte> memory_;
  const std::unique_ptr<VerbsDevice> device_;
  const VerbsMr mr_;
  const std::unique_ptr<VerbsClientRail> rail_;
  VerbsOffer offer_;
};

// A node without gRPC: what grants, expires, fences and frees.
class VerbsLateWrite : public testing::Test {
 protected:
  struct Peer {
    SessionId session;
    LaneId lane{};
    v1::OpenLaneResponse opened;
  };

  void SetUp() override {
    ends_ = VerbsEnds::Find();
    const char* const kind = std::getenv("SOFTROCE");
    if (ends_.empty() || kind == nullptr || std::string(kind) != "wire") {
      GTEST_SKIP() << "no wire between RDMA devices to shape";
    }
    ASSERT_TRUE(Wire("shape rate 80mbit"));
    std::memset(region_->bytes().data(), 0, kArenaBytes);
    server_ = *VerbsServer::Create({.devices = ends_.Left()});
    KV_CHECK(server_->Export(*region_).ok());
    loops_ = std::make_unique<ServerLoops>(server_.get());
    core_ = std::make_unique<KvCore>(KvCore::Options{.node_name = "late",
                                                     .epoch = Epoch{7},
                                                     .session_silence = kSilence},
                                     Clock::Real(), &store_, &leases_,
                                     std::vector<ServerTransport*>{server_.get()});
  }
  void TearDown() override {
    rules::kFence = true;
    Wire("unshape");
    loops_.reset();
    server_.reset();
    core_.reset();
  }

  SessionId OpenSession() {
    v1::OpenSessionResponse response;
    KV_CHECK(core_->OpenSession({}, &response).ok());
    return *SessionId::FromBytes(response.session());
  }
  // The server's side of a rendezvous.
  absl::StatusOr<std::string> OpenLane(Peer* peer, std::string_view hello) {
    v1::OpenLaneRequest request;
    request.set_transport(v1::TRANSPORT_KIND_RDMA);
    request.set_hello(std::string(hello));
    absl::StatusOr<LaneId> lane = core_->OpenLane(peer->session, request, &peer->opened);
    if (!lane.ok()) return lane.status();
    peer->lane = *lane;
    return peer->opened.offer();
  }
  absl::StatusOr<Token> Grant(const Peer& peer, std::string_view key,
                              std::chrono::milliseconds ttl) {
    v1::GrantWritesRequest request;
    v1::GrantWritesResponse response;
    v1::WriteIntent* const write = request.add_writes();
    write->set_key(std::string(key));
    write->set_size_bytes(kBlockBytes);
    request.set_ttl_ms(static_cast<uint32_t>(ttl.count()));
    absl::Status granted = core_->GrantWrites(peer.session, peer.lane, request, &response);
    if (!granted.ok()) return granted;
    const v1::WriteGrant& grant = response.grants(0);
    if (grant.outcome() != v1::KEY_OUTCOME_OK) return absl::ResourceExhaustedError("refused");
    return Token{.lease = LeaseId{grant.lease()},
                 .extent = {RegionId{grant.region()}, grant.offset_bytes(), kBlockBytes},
                 .access = Access::kWrite,
                 .sealed = grant.token()};
  }
  // Some of the block has arrived.
  bool HasSome(const Token& token) const {
    std::byte* const first = region_->Slice(token.extent).data();
    return std::atomic_ref(*first).load() == kLate;
  }
  bool Quarantined() const { return core_->stats().quarantined_bytes > 0; }
  // Turns the reaper's crank until the memory can be had by somebody else, who fills it.
  // Returns where it is.
  Extent GiveToAnother(const Token& old) {
    if (other_.session == SessionId{}) {
      other_.session = OpenSession();
      bystander_ = std::make_unique<Writer>(
          ends_.Right(), [&](std::string_view hello) { return OpenLane(&other_, hello); });
    }
    absl::StatusOr<Token> token = absl::UnavailableError("not yet");
    Await([&] {
      core_->Step();
      token = Grant(other_, "new", kMaxLeaseTtl);
      return token.ok();
    });
    const Extent& extent = token->extent;
    KV_CHECK(extent.offset_bytes < old.extent.offset_bytes + kBlockBytes &&
             old.extent.offset_bytes < extent.offset_bytes + kBlockBytes);
    std::memset(region_->Slice(extent).data(), std::to_integer<int>(kNew), kBlockBytes);
    return extent;
  }
  uint64_t LateBytes(const Extent& extent) const {
    const std::span<const std::byte> bytes = region_->Slice(extent);
    return static_cast<uint64_t>(std::count_if(
        bytes.begin(), bytes.end(), [](std::byte byte) { return byte != kNew; }));
  }

  // A wire is a queue: what this sends comes out behind all that is on it.
  void AwaitAllSent() {
    Peer after{.session = OpenSession()};
    Writer last(ends_.Right(), [&](std::string_view hello) { return OpenLane(&after, hello); });
  }

  static Region* SharedRegion() {
    static const std::unique_ptr<Region>* const region = new std::unique_ptr<Region>(
        *Region::Map({.id = RegionId{1}, .size_bytes = kArenaBytes}));
    return region->get();
  }

  VerbsEnds ends_;
  Region* const region_ = SharedRegion();
  Arena arena_{region_};
  TieredStore store_{&arena_, {}, Clock::Real(), nullptr, nullptr};
  TokenSealer sealer_{Epoch{7}};
  LeaseTable leases_{&sealer_};
  std::unique_ptr<VerbsServer> server_;
  std::unique_ptr<ServerLoops> loops_;
  std::unique_ptr<KvCore> core_;
  Peer other_;
  std::unique_ptr<Writer> bystander_;
};

// What a story leaves behind without the fence. On a busy machine the writer's NIC may give
// up before its bytes are late, which shows nothing: then the story is told again.
template <typename Story>
uint64_t LateBytesWithoutTheFence() {
  struct Told : Story {
    void TestBody() override {}
    uint64_t Tell() {
      this->SetUp();
      rules::kFence = false;
      const uint64_t late = this->Run();
      this->TearDown();
      return late;
    }
  };
  constexpr int kTellingsMax = 12;
  uint64_t late = 0;
  for (int n = 0; n < kTellingsMax && late == 0; ++n) late = Told().Tell();
  return late;
}

// A grant expires while its WRITEs are on a slow wire, and the client goes on. With the
// rule, the loop that fences is let go once it is seen that nothing is freed without it.
class AGrantThatExpires : public VerbsLateWrite {
 protected:
  uint64_t Run() {
    Peer peer{.session = OpenSession()};
    Writer writer(ends_.Right(),
                  [&](std::string_view hello) { return OpenLane(&peer, hello); });
    const absl::StatusOr<Token> token = Grant(peer, "late", kMinLeaseTtl);
    KV_CHECK(token.ok());
    loops_->Pause();
    absl::Status written;
    std::atomic<bool> ended = false;
    Concurrently run([&] {
      written = writer.Write(*token);
      ended = true;
    });
    Await([&] { return HasSome(*token) || ended; });
    Await([&] {
      core_->Step();
      core_->Heartbeat(peer.session).IgnoreError();
      return core_->stats().expired_writes > 0;
    });
    if (rules::kFence) {
      EXPECT_TRUE(Quarantined());
      loops_->Resume();
    }
    const Extent extent = GiveToAnother(*token);
    run.Join();
    if (rules::kFence) {
      EXPECT_FALSE(written.ok());
    }
    const uint64_t late = LateBytes(extent);
    loops_->Resume();
    return late;
  }
};

TEST_F(AGrantThatExpires, LeavesNoByteInReusedMemory) { EXPECT_EQ(Run(), 0u); }

TEST_F(AGrantThatExpires, LeavesSomeWithoutTheFence) {
  EXPECT_GT(LateBytesWithoutTheFence<AGrantThatExpires>(), 0u);
}

// A partition: what the writer's NIC has sent stays in a buffer on the way until the memory
// is somebody else's, and then comes out.
class APartitionThatHeals : public VerbsLateWrite {
 protected:
  uint64_t Run() {
    Peer peer{.session = OpenSession()};
    BareWriter writer(ends_.Right(),
                      [&](std::string_view hello) { return OpenLane(&peer, hello); });
    // The next owner's lane is made before the cut.
    other_.session = OpenSession();
    bystander_ = std::make_unique<Writer>(
        ends_.Right(), [&](std::string_view hello) { return OpenLane(&other_, hello); });
    const absl::StatusOr<Token> token = Grant(peer, "late", kMinLeaseTtl);
    KV_CHECK(token.ok());
    KV_CHECK(Wire("hold from-b"));
    writer.Post(*token);
    if (!rules::kFence) loops_->Pause();  // the fence is asked for, and nobody waits for it
    const Extent extent = GiveToAnother(*token);
    EXPECT_EQ(extent.offset_bytes, token->extent.offset_bytes);
    KV_CHECK(Wire("release"));
    AwaitAllSent();
    const uint64_t late = LateBytes(extent);
    loops_->Resume();
    return late;
  }
};

TEST_F(APartitionThatHeals, LeavesNoByteInReusedMemory) { EXPECT_EQ(Run(), 0u); }

TEST_F(APartitionThatHeals, LeavesEveryOneWithoutTheFence) {
  rules::kFence = false;
  EXPECT_EQ(Run(), BareWriter::kBytes);
}

// ---- A client that is killed

// A pipe's message: its length, then its bytes.
void Send(int fd, const std::string& text) {
  const uint32_t size = static_cast<uint32_t>(text.size());
  KV_CHECK(write(fd, &size, sizeof(size)) == sizeof(size));
  KV_CHECK(write(fd, text.data(), size) == static_cast<ssize_t>(size));
}

std::string Receive(int fd) {
  uint32_t size = 0;
  if (read(fd, &size, sizeof(size)) != sizeof(size)) return "";
  std::string text(size, '\0');
  for (size_t at = 0; at < size;) {
    const ssize_t got = read(fd, text.data() + at, size - at);
    if (got <= 0) return "";
    at += static_cast<size_t>(got);
  }
  return text;
}

// This program again, as a writer to be killed: `--writer DEVICE`, hello and offer over
// the standard streams, then the token's text; writes for ever.
int RunWriter(const std::string& device) {
  Writer writer({.devices = {device}}, [](std::string_view hello) {
    Send(STDOUT_FILENO, std::string(hello));
    return absl::StatusOr<std::string>(Receive(STDIN_FILENO));
  });
  const std::string sealed = Receive(STDIN_FILENO);
  const absl::StatusOr<TokenClaims> claims = ReadClaims(sealed);
  KV_CHECK(claims.ok());
  const Token token{.lease = claims->lease,
                    .extent = claims->extent,
                    .access = Access::kWrite,
                    .sealed = sealed};
  while (writer.Write(token).ok()) {
  }
  return 1;
}

class AKilledWriter : public VerbsLateWrite {
 protected:
  void Start() {
    std::array<int, 2> to{}, from{};
    KV_CHECK(pipe(to.data()) == 0 && pipe(from.data()) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    std::string self = "/proc/self/exe", flag = "--writer", device = ends_.right[0];
    std::array<char*, 4> argv = {self.data(), flag.data(), device.data(), nullptr};
    KV_CHECK(posix_spawn(&pid_, self.c_str(), &actions, nullptr, argv.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    to_ = to[1];
    from_ = from[0];
  }
  uint64_t Run() {
    Peer peer{.session = OpenSession()};
    Start();
    const absl::StatusOr<std::string> offer = OpenLane(&peer, Receive(from_));
    KV_CHECK(offer.ok());
    Send(to_, *offer);
    const absl::StatusOr<Token> token = Grant(peer, "late", kMaxLeaseTtl);
    KV_CHECK(token.ok());
    // The next owner's lane is made while the wire is quick.
    other_.session = OpenSession();
    bystander_ = std::make_unique<Writer>(
        ends_.Right(), [&](std::string_view hello) { return OpenLane(&other_, hello); });
    // What it may have in flight takes a quarter of a second.
    KV_CHECK(Wire("shape rate 8mbit"));
    Send(to_, token->sealed);
    Await([&] { return HasSome(*token); });
    loops_->Pause();
    KV_CHECK(kill(pid_, SIGKILL) == 0);
    // What a node does at the end of a client's streams.
    core_->CloseSession(peer.session);
    if (rules::kFence) {
      EXPECT_TRUE(Quarantined());
      loops_->Resume();
    }
    const Extent extent = GiveToAnother(*token);
    int status = 0;
    KV_CHECK(waitpid(pid_, &status, 0) == pid_);
    EXPECT_TRUE(WIFSIGNALED(status));
    close(to_);
    close(from_);
    loops_->Resume();
    AwaitAllSent();
    return LateBytes(extent);
  }

 private:
  pid_t pid_ = -1;
  int to_ = -1, from_ = -1;
};

TEST_F(AKilledWriter, LeavesNoByteInReusedMemory) { EXPECT_EQ(Run(), 0u); }

TEST_F(AKilledWriter, LeavesSomeWithoutTheFence) {
  EXPECT_GT(LateBytesWithoutTheFence<AKilledWriter>(), 0u);
}

}  // namespace
}  // namespace kvasir

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--writer") return kvasir::RunWriter(argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
