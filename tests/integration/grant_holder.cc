// A client for a test to kill. `grant_holder HOST:PORT hold` takes what a server grants
// and then does nothing more: a session with its heartbeat stream, a lane, a lease to
// read "stored", a pin on it for an hour, and two grants to write, one with its bytes.
// Says "ready" when it has them all. `grant_holder HOST:PORT write` says it after its
// first put and goes on putting large blocks, so that most of the time one is on its way.
// `grant_holder HOST:PORT flood DEVICE BYTES` writes one block over rdma, again and again
// with a heartbeat after each time, and says it when it has the grant.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "rdma/transport.h"
#include "rdma/verbs_client.h"
#include "tests/integration/raw_session.h"

namespace kvasir {
namespace {

constexpr uint32_t kHourMs = 3'600'000;

void SayReady() {
  std::puts("ready");
  std::fflush(stdout);
}

void Hold(RawSession* session) {
  RawLane lane(session);
  KV_CHECK(lane.Open().ok());
  v1::LaneRequest request;
  request.mutable_lookup()->add_keys("stored");
  request.mutable_lookup()->set_pin_owner("holder");
  request.mutable_lookup()->set_pin_ttl_ms(kHourMs);
  KV_CHECK(lane.Exchange(request).lookup().pinned_count() == 1);
  request.mutable_grant_reads()->add_keys("stored");
  const v1::LaneResponse read = lane.Exchange(request);
  KV_CHECK(read.grant_reads().grants(0).outcome() == v1::KEY_OUTCOME_OK);

  const std::string value(100'000, 'x');
  KV_CHECK(lane.Grant("granted", value.size())->outcome() == v1::KEY_OUTCOME_OK);
  const auto filled = lane.Grant("filled", value.size());
  KV_CHECK(filled.ok() && lane.Fill(*filled, value).ok());
  SayReady();
  while (true) pause();
}

void Write(RawSession* session) {
  RawLane lane(session);
  KV_CHECK(lane.Open().ok());
  const std::string value(8'000'000, 'y');
  for (int i = 0;; ++i) {
    const std::string key = std::to_string(getpid()) + "/" + std::to_string(i);
    KV_CHECK(lane.Put(key, value).ok());
    if (i == 0) SayReady();
  }
}

void Flood(RawSession* session, ClientTransport* rdma, size_t bytes,
           const std::function<bool()>& beat) {
  RawLane lane(session, rdma);
  KV_CHECK(lane.Open().ok());
  const std::string value(bytes, 'z');
  const auto granted = lane.Grant("flood", bytes, static_cast<uint32_t>(kMaxLeaseTtl.count()));
  KV_CHECK(granted.ok() && granted->outcome() == v1::KEY_OUTCOME_OK);
  SayReady();
  while (lane.Fill(*granted, value).ok()) beat();  // also when the session has ended
}

}  // namespace
}  // namespace kvasir

int main(int argc, char** argv) {
  KV_CHECK(argc >= 3);
  std::unique_ptr<kvasir::ClientTransport> rdma;
  if (std::string_view(argv[2]) == "flood") {
    KV_CHECK(argc == 5);
    // Before the session: the kernel closes what a killed process has from the newest on,
    // so that the session has ended while the NIC still sends.
    rdma = *kvasir::VerbsClient::Create({.devices = {argv[3]}}, kvasir::Clock::Real());
  }
  kvasir::RawSession session(argv[1]);
  const auto context = kvasir::NewContext(std::chrono::hours(1));
  const auto heartbeat = session.stubs().kv->Heartbeat(context.get());
  const auto beat = [&] {
    kvasir::v1::HeartbeatRequest request;
    request.set_session(session.id());
    kvasir::v1::HeartbeatResponse answer;
    return heartbeat->Write(request) && heartbeat->Read(&answer);
  };
  KV_CHECK(beat());
  if (std::string_view(argv[2]) == "hold") kvasir::Hold(&session);
  if (rdma != nullptr) {
    kvasir::Flood(&session, rdma.get(), std::stoul(argv[4]), beat);
    return 1;
  }
  kvasir::Write(&session);
}
