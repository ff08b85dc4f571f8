#include "rdma/verbs_client.h"

#include <fmt/core.h>

#include <utility>

#include "base/log.h"
#include "rdma/verbs_lane.h"

namespace kvasir {
namespace {

// A range and its registration with each rail's NIC.
class VerbsMemory final : public MemoryRegion {
 public:
  VerbsMemory(std::span<std::byte> bytes, std::vector<VerbsMr> mrs, VerbsMemoryIndex* index)
      : bytes_(bytes), mrs_(std::move(mrs)), index_(index) {
    for (size_t rail = 0; rail < mrs_.size(); ++rail) keys_[rail] = mrs_[rail]->lkey;
    index_->Add(bytes_, keys_);
  }
  ~VerbsMemory() override { index_->Remove(bytes_, keys_); }
  std::span<std::byte> bytes() const override { return bytes_; }

 private:
  const std::span<std::byte> bytes_;
  const std::vector<VerbsMr> mrs_;
  VerbsMemoryIndex* const index_;
  VerbsLocalKeys keys_{};
};

void OpenMailbox(VerbsClientRail* rail) {
  const absl::Status opened = rail->OpenMailbox();
  if (opened.ok()) return;
  Log(LogLevel::kWarning, fmt::format("rdma: a lane carries no messages: {}",
                                      std::string(opened.message())));
}

}  // namespace

absl::StatusOr<std::unique_ptr<VerbsClient>> VerbsClient::Create(
    const VerbsDeviceOptions& options, const Clock* clock) {
  absl::StatusOr<std::vector<std::unique_ptr<VerbsDevice>>> rails = OpenVerbsRails(options);
  if (!rails.ok()) return rails.status();
  std::unique_ptr<VerbsClient> client(new VerbsClient(*std::move(rails), clock));
  if (absl::Status registered = client->RegisterScratch(); !registered.ok()) {
    return registered;
  }
  return client;
}

VerbsClient::VerbsClient(std::vector<std::unique_ptr<VerbsDevice>> rails, const Clock* clock)
    : rails_(std::move(rails)), clock_(clock) {}

VerbsClient::~VerbsClient() = default;

absl::Status VerbsClient::RegisterScratch() {
  absl::StatusOr<std::unique_ptr<MemoryRegion>> registration = Register(scratch_);
  if (registration.ok()) scratch_registration_ = *std::move(registration);
  return registration.status();
}

std::string VerbsClient::Describe() const {
  std::string text;
  for (const auto& rail : rails_) {
    text += fmt::format("{}{}", text.empty() ? "" : "; ", rail->description());
  }
  return text;
}

absl::StatusOr<std::unique_ptr<MemoryRegion>> VerbsClient::RegisterOnAll(
    std::span<std::byte> memory, Registrar with_one) {
  std::vector<VerbsMr> mrs;
  for (const auto& rail : rails_) {
    absl::StatusOr<VerbsMr> mr = with_one(*rail);
    if (!mr.ok()) return mr.status();
    mrs.push_back(*std::move(mr));
  }
  return std::make_unique<VerbsMemory>(memory, std::move(mrs), &memory_);
}

absl::StatusOr<std::unique_ptr<MemoryRegion>> VerbsClient::Register(
    std::span<std::byte> memory) {
  return RegisterOnAll(memory, [&](const VerbsDevice& device) {
    return device.Register(memory, IBV_ACCESS_LOCAL_WRITE);
  });
}

absl::StatusOr<std::unique_ptr<MemoryRegion>> VerbsClient::RegisterDmaBuf(
    std::span<std::byte> memory, const VerbsDevice::DmaBuf& buffer) {
  return RegisterOnAll(memory, [&](const VerbsDevice& device) {
    return device.RegisterDmaBuf(memory, buffer, IBV_ACCESS_LOCAL_WRITE);
  });
}

absl::Status VerbsClient::ConnectRails(const VerbsOffer& offer,
                                       std::vector<std::unique_ptr<VerbsClientRail>>* ends) {
  absl::Status last = absl::UnavailableError("open rdma lane: the server has no rail for it");
  std::vector<std::unique_ptr<VerbsClientRail>> connected;
  for (auto& end : *ends) {
    const VerbsRail& offered = offer.rails[end->number()];
    if (offered.left_out()) continue;
    absl::Status ready = end->Connect(offered);
    if (ready.ok() && offer.takes_messages && end->number() == 0) OpenMailbox(end.get());
    if (ready.ok()) {
      connected.push_back(std::move(end));
      continue;
    }
    if (!absl::IsUnavailable(ready)) return ready;
    Log(LogLevel::kWarning, fmt::format("rdma: rail {} is left out: {}", end->number(),
                                        std::string(ready.message())));
    last = std::move(ready);
  }
  *ends = std::move(connected);
  return ends->empty() ? last : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Lane>> VerbsClient::Connect(Rendezvous rendezvous,
                                                           Instant deadline) {
  std::vector<std::unique_ptr<VerbsClientRail>> ends;
  VerbsHello hello;
  for (const auto& rail : rails_) {
    absl::StatusOr<std::unique_ptr<VerbsClientRail>> end =
        VerbsClientRail::Make(rail.get(), ends.size());
    if (!end.ok()) return end.status();
    hello.rails.push_back((*end)->address());
    ends.push_back(*std::move(end));
  }
  const absl::StatusOr<std::string> answer = rendezvous(EncodeVerbsHello(hello));
  if (!answer.ok()) return answer.status();
  absl::StatusOr<VerbsOffer> offer = DecodeVerbsOffer(*answer);
  if (!offer.ok()) return offer.status();
  if (offer->rails.size() > ends.size()) {
    return absl::InvalidArgumentError(fmt::format(
        "open rdma lane: offered {} rails for {}", offer->rails.size(), ends.size()));
  }
  ends.resize(offer->rails.size());
  if (absl::Status ready = ConnectRails(*offer, &ends); !ready.ok()) return ready;
  auto lane = std::make_unique<VerbsLane>(VerbsLane::Parts{.rails = std::move(ends),
                                                           .offer = *std::move(offer),
                                                           .memory = &memory_,
                                                           .scratch = scratch_,
                                                           .clock = clock_});
  if (absl::Status answered = lane->Probe(deadline); !answered.ok()) return answered;
  return lane;
}

}  // namespace kvasir
