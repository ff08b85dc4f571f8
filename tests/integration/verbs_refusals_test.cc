// What a client asks of the NIC of a real kvasird that it may not have: refused, and after
// the third time its session ends, while nobody else notices.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/status_reason.h"
#include "rdma/verbs_client.h"
#include "rdma/verbs_client_rail.h"
#include "rdma/verbs_device.h"
#include "rdma/verbs_lane_table.h"
#include "rdma/verbs_wire.h"
#include "tests/integration/raw_session.h"
#include "tests/rdma/verbs_ends.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

constexpr std::chrono::seconds kPatience{60};
constexpr uint64_t kAskedBytes = 1000;

void Await(const std::function<bool()>& done) {
  const Instant patience = Clock::Real()->Now() + kPatience;
  while (!done()) KV_CHECK(Clock::Real()->Now() < patience);
}

// Where one may read or write, or may not.
struct Target {
  uint64_t address = 0;
  VerbsKeys keys;
};

// A lane's queue pairs in the hands of somebody who posts what he likes.
class Hostile {
 public:
  Hostile(RawSession* session, VerbsClient* client, const VerbsDeviceOptions& devices)
      : lane_(session, client),
        memory_(kAskedBytes),
        device_(*VerbsDevice::Open(devices.devices[0], devices)),
        mr_(*device_->Register(memory_, IBV_ACCESS_LOCAL_WRITE)),
        rail_(*VerbsClientRail::Make(device_.get())) {
    const auto offer = lane_.Offer(EncodeVerbsHello({.rails = {rail_->address()}}));
    KV_CHECK(offer.ok());
    offer_ = *DecodeVerbsOffer(*offer);
    KV_CHECK(rail_->Connect(offer_.rails[0]).ok());
  }
  const VerbsRegion& region() const { return offer_.regions[0]; }
  Target Granted() const { return {.address = region().address, .keys = region().keys[0]}; }

  // Posts one request for kAskedBytes and returns how it ended.
  absl::Status Ask(Access access, const Target& target) {
    const ibv_sge slice = {.addr = reinterpret_cast<uint64_t>(memory_.data()),
                           .length = kAskedBytes,
                           .lkey = mr_->lkey};
    rail_->Add({.access = access,
                .remote_address = target.address,
                .remote_key = access == Access::kRead ? target.keys.read : target.keys.write,
                .slices = std::span(&slice, 1),
                .bytes = kAskedBytes});
    KV_CHECK(rail_->Post().ok());
    std::optional<VerbsClientRail::Failure> failed;
    Await([&] {
      failed = rail_->Reap([](size_t) {});
      return failed.has_value() || rail_->requests_in_flight() == 0;
    });
    return failed.has_value() ? failed->status : absl::OkStatus();
  }

 private:
  RawLane lane_;
  std::vector<std::byte> memory_;
  const std::unique_ptr<VerbsDevice> device_;
  const VerbsMr mr_;
  const std::unique_ptr<VerbsClientRail> rail_;
  VerbsOffer offer_;
};

class VerbsRefusals : public testing::Test {
 protected:
  void SetUp() override {
    ends_ = VerbsEnds::Find();
    if (ends_.empty()) GTEST_SKIP() << "no RDMA device";
    client_ = *VerbsClient::Create(ends_.Right(), Clock::Real());
    server_ = Start();
    stubs_ = std::make_unique<RawStubs>(server_->listen());
    bystander_ = std::make_unique<RawSession>(server_->listen());
    lane_ = std::make_unique<RawLane>(bystander_.get(), client_.get());
    ASSERT_TRUE(lane_->Open().ok());
    ASSERT_TRUE(lane_->Put("stored", stored_).ok());
  }
  std::unique_ptr<ServerProcess> Start() {
    auto server = ServerProcess::Start({.flags = {"--transport=rdma", "--memory=16MiB",
                                                  "--rdma_device=" + ends_.left[0],
                                                  "--session_silence=60s"}});
    KV_CHECK(server.ok());
    return *std::move(server);
  }
  std::map<std::string, double> Stats() {
    v1::GetStatsResponse stats;
    KV_CHECK(stubs_->admin->GetStats(NewContext().get(), {}, &stats).ok());
    return {stats.values().begin(), stats.values().end()};
  }
  double Refused() {
    return Stats().at("transport_refused_frames_total{transport=\"rdma\"}");
  }
  // A session asks for what `target` makes of its lane, as often as it takes.
  void ExpectTheSessionEnds(const std::function<Target(const Hostile&)>& target) {
    RawSession session(server_->listen());
    const double refused = Refused();
    for (size_t i = 0; i < kVerbsRefusalsMax; ++i) {
      EXPECT_EQ(Stats().at("sessions"), 2);
      Hostile peer(&session, client_.get(), ends_.Right());
      const Access access = i % 2 == 0 ? Access::kWrite : Access::kRead;
      EXPECT_EQ(peer.Ask(access, target(peer)).code(), absl::StatusCode::kPermissionDenied);
      // A lane that has ended trips nothing any more.
      Await([&] { return Refused() == refused + static_cast<double>(i + 1); });
    }
    Await([&] { return Stats().at("sessions") == 1; });
    v1::LookupRequest lookup;
    lookup.add_keys("stored");
    v1::LookupResponse response;
    const grpc::Status told =
        session.Call(&v1::KvService::Stub::Lookup, lookup, &response);
    EXPECT_EQ(ReasonIn(told), kReasonSessionUnknown);
    Await([&] { return Stats().at("lanes") == 1; });
    EXPECT_EQ(lane_->Get("stored").value(), stored_);
    EXPECT_TRUE(lane_->Put("more" + session.id(), stored_).ok());
  }

  const std::string stored_ = std::string(500'000, 's');
  VerbsEnds ends_;
  std::unique_ptr<VerbsClient> client_;
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<RawStubs> stubs_;
  std::unique_ptr<RawSession> bystander_;
  std::unique_ptr<RawLane> lane_;
};

TEST_F(VerbsRefusals, WhatLeavesTheArenaEndsTheSession) {
  ExpectTheSessionEnds([](const Hostile& peer) {
    Target target = peer.Granted();
    target.address += peer.region().size_bytes - kAskedBytes + 1;
    return target;
  });
}

TEST_F(VerbsRefusals, KeysOfAnotherTenantEndTheSessionAlsoWhenThatIsGone) {
  std::unique_ptr<ServerProcess> other = Start();
  Target target;
  {
    RawSession tenant(other->listen());
    Hostile peer(&tenant, client_.get(), ends_.Right());
    target = peer.Granted();
    EXPECT_TRUE(peer.Ask(Access::kRead, target).ok());
  }
  ExpectTheSessionEnds([&](const Hostile&) { return target; });
  other.reset();  // and the registration with it
  ExpectTheSessionEnds([&](const Hostile&) { return target; });
}

}  // namespace
}  // namespace kvasir
