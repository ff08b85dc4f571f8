#include "tests/client/fake_node.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/checksum.h"
#include "base/status_reason.h"

namespace kvasir {
namespace {

class FakeStream final : public ControlStream {
 public:
  explicit FakeStream(FakeNode* node) : node_(node) { ++node_->streams_open; }
  ~FakeStream() override { --node_->streams_open; }

  absl::Status Exchange(const v1::LaneRequest& request, v1::LaneResponse* response,
                        Instant deadline) override {
    if (broken_) return absl::UnavailableError("stream is broken");
    absl::Status status = node_->Serve(request, response);
    if (status.ok() && node_->clock.Now() >= deadline) {
      status = absl::DeadlineExceededError("no answer in time");
    }
    if (!status.ok()) broken_ = true;
    if (!status.ok() || !response->has_error()) return status;
    const v1::LaneError& error = response->error();
    return WithReason(
        absl::Status(static_cast<absl::StatusCode>(error.code()), error.message()),
        error.reason());
  }

 private:
  FakeNode* const node_;
  bool broken_ = false;
};

class FakeLane final : public Lane {
 public:
  explicit FakeLane(FakeNode* node) : node_(node) { ++node_->lanes_open; }
  ~FakeLane() override { --node_->lanes_open; }

  void Run(std::span<Transfer> batch, Instant deadline) override {
    for (Transfer& transfer : batch) node_->Move(&transfer);
    if (node_->on_moved) node_->on_moved(batch);
    for (Transfer& transfer : batch) {
      if (transfer.status.ok() && node_->lanes_time_out && node_->clock.Now() >= deadline) {
        transfer.status = absl::DeadlineExceededError("move bytes: too late");
      }
      if (absl::IsDeadlineExceeded(transfer.status) || absl::IsUnavailable(transfer.status)) {
        usable_ = false;
      }
    }
  }
  bool usable() const override { return usable_; }

  bool carries_messages() const override { return node_->carries_messages; }
  absl::Status Send(std::string_view request) override {
    if (!node_->messages.emplace_back().ParseFromString(std::string(request))) {
      return absl::InternalError("send message: it does not parse");
    }
    v1::LaneResponse response;
    const v1::LaneRequest sent = node_->messages.back();
    if (absl::Status served = node_->Serve(sent, &response); !served.ok()) {
      usable_ = false;
      return served;
    }
    answer_ = response.SerializeAsString();
    if (node_->on_answer) node_->on_answer(&answer_);
    return absl::OkStatus();
  }
  absl::StatusOr<std::optional<std::string_view>> Receive(Instant until) override {
    if (node_->answers_late > 0) {
      --node_->answers_late;
      node_->clock.Set(until);
      return std::nullopt;
    }
    return answer_;
  }

 private:
  FakeNode* const node_;
  bool usable_ = true;
  std::string answer_;
};

class FakeRegion final : public MemoryRegion {
 public:
  FakeRegion(FakeNode* node, std::span<std::byte> bytes)
      : node_(node), bytes_(bytes), at_(node->registered.emplace(bytes.data(), bytes.size())) {}
  ~FakeRegion() override { node_->registered.erase(at_); }
  std::span<std::byte> bytes() const override { return bytes_; }

 private:
  FakeNode* const node_;
  const std::span<std::byte> bytes_;
  const std::multimap<const std::byte*, size_t>::iterator at_;
};

class FakeTransport final : public ClientTransport {
 public:
  explicit FakeTransport(FakeNode* node) : node_(node) {}
  TransportKind kind() const override { return node_->kind(); }
  absl::StatusOr<std::unique_ptr<MemoryRegion>> Register(std::span<std::byte> memory) override {
    return std::make_unique<FakeRegion>(node_, memory);
  }
  absl::StatusOr<std::unique_ptr<Lane>> Connect(Rendezvous rendezvous, Instant) override {
    absl::StatusOr<std::string> offer = rendezvous("hello");
    if (!offer.ok()) return offer.status();
    if (!node_->connect_status.ok()) return node_->connect_status;
    if (*offer != "offer") return absl::InternalError("connect: not the fake's offer");
    return std::make_unique<FakeLane>(node_);
  }

 private:
  FakeNode* const node_;
};

class FakeHeartbeat final : public HeartbeatStream {
 public:
  explicit FakeHeartbeat(FakeNode* node) : node_(node) { ++node_->heartbeats_open; }
  ~FakeHeartbeat() override { --node_->heartbeats_open; }
  absl::StatusOr<bool> Beat(Instant) override {
    ++node_->beats;
    if (!node_->beat_status.ok()) return node_->beat_status;
    return node_->draining;
  }

 private:
  FakeNode* const node_;
};

class FakeChannel final : public NodeChannel {
 public:
  explicit FakeChannel(FakeNode* node) : node_(node) {}
  absl::StatusOr<v1::OpenSessionResponse> OpenSession(const v1::OpenSessionRequest&,
                                                      Instant) override {
    if (!node_->session_status.ok()) return node_->session_status;
    ++node_->sessions_opened;
    v1::OpenSessionResponse response;
    response.set_session(SessionId{1, static_cast<uint64_t>(node_->sessions_opened)}.ToBytes());
    response.set_epoch(node_->epoch);
    response.set_heartbeat_interval_ms(1'000);
    response.set_silence_ms(3'000);
    std::vector<v1::TransportKind> offered = node_->offered;
    if (offered.empty()) offered = {KindOf(*node_)};
    for (const v1::TransportKind kind : offered) response.add_transports(kind);
    return response;
  }
  std::unique_ptr<HeartbeatStream> OpenHeartbeat(SessionId) override {
    return std::make_unique<FakeHeartbeat>(node_);
  }
  std::unique_ptr<ControlStream> OpenStream() override { return node_->OpenStream(); }
  absl::Status CloseSession(SessionId, Instant) override {
    ++node_->sessions_closed;
    return absl::OkStatus();
  }
  absl::Status Ping(Instant) override { return node_->session_status; }
  absl::StatusOr<ListPage> List(std::string_view prefix, size_t page_size,
                                std::string_view page_token, Instant) override {
    ListPage page;
    for (auto at = node_->blocks.lower_bound(std::string(std::max(prefix, page_token)));
         at != node_->blocks.end() && at->first.starts_with(prefix); ++at) {
      if (page.keys.size() == page_size) {
        page.next_page_token = at->first;
        break;
      }
      page.keys.push_back(at->first);
    }
    return page;
  }
  absl::StatusOr<std::map<std::string, double>> Stats(Instant) override {
    return std::map<std::string, double>{{"blocks", node_->blocks.size()}};
  }

 private:
  static v1::TransportKind KindOf(const FakeNode& node) {
    switch (node.kind()) {
      case TransportKind::kRdma:
        return v1::TRANSPORT_KIND_RDMA;
      case TransportKind::kShm:
        return v1::TRANSPORT_KIND_SHM;
      case TransportKind::kTcp:
        return v1::TRANSPORT_KIND_TCP;
    }
    return v1::TRANSPORT_KIND_UNSPECIFIED;
  }

  FakeNode* const node_;
};

}  // namespace

void FakeNode::Store(const std::string& key, std::string_view bytes,
                     std::string_view attributes) {
  blocks[key] = {std::string(bytes), std::string(attributes),
                 BlockChecksum(ChecksumSeed(key), std::as_bytes(std::span(bytes)))};
}

std::unique_ptr<ControlStream> FakeNode::OpenStream() {
  return std::make_unique<FakeStream>(this);
}

std::unique_ptr<ClientTransport> FakeNode::MakeTransport() {
  return std::make_unique<FakeTransport>(this);
}

std::unique_ptr<NodeChannel> FakeNode::MakeChannel() {
  return std::make_unique<FakeChannel>(this);
}

absl::Status FakeNode::Serve(const v1::LaneRequest& request, v1::LaneResponse* response) {
  requests.push_back(request);
  if (on_request) {
    if (absl::Status status = on_request(request); !status.ok()) return status;
  }
  response->Clear();
  for (const uint64_t lease : request.releases()) open_reads.erase(lease);
  switch (request.request_case()) {
    case v1::LaneRequest::kOpen:
      response->mutable_open()->set_lane(7);
      response->mutable_open()->set_offer("offer");
      break;
    case v1::LaneRequest::kLookup:
      for (const std::string& key : request.lookup().keys()) {
        const bool stored = blocks.count(key) > 0;
        v1::LookupResponse* const lookup = response->mutable_lookup();
        const size_t before = lookup->residency().size();
        if (stored && lookup->prefix_count() == before) lookup->set_prefix_count(before + 1);
        if (stored && request.lookup().pin_all()) {
          lookup->set_pinned_count(lookup->pinned_count() + 1);
        }
        lookup->mutable_residency()->push_back(
            static_cast<char>(stored ? v1::RESIDENCY_MEMORY : v1::RESIDENCY_ABSENT));
      }
      break;
    case v1::LaneRequest::kGrantReads:
      GrantReads(request.grant_reads(), response->mutable_grant_reads());
      break;
    case v1::LaneRequest::kGrantWrites:
      GrantWrites(request.grant_writes(), response->mutable_grant_writes());
      break;
    case v1::LaneRequest::kCommit:
      Commit(request.commit(), response->mutable_commit());
      break;
    case v1::LaneRequest::kAbort:
      response->mutable_abort();
      for (const uint64_t lease : request.abort().leases()) {
        open_writes.erase(lease);
        aborted.push_back(lease);
      }
      break;
    case v1::LaneRequest::kRelease:
      response->mutable_release();
      break;
    case v1::LaneRequest::kRemove:
      for (const std::string& key : request.remove().keys()) {
        response->mutable_remove()->add_outcomes(
            blocks.erase(key) > 0 ? v1::KEY_OUTCOME_OK : v1::KEY_OUTCOME_MISS);
      }
      break;
    case v1::LaneRequest::kUnpinOwner:
      response->mutable_unpin_owner();
      break;
    case v1::LaneRequest::REQUEST_NOT_SET:
      return absl::InvalidArgumentError("serve: empty request");
  }
  if (on_response) on_response(response);
  return absl::OkStatus();
}

void FakeNode::GrantReads(const v1::GrantReadsRequest& request,
                          v1::GrantReadsResponse* response) {
  response->set_ttl_ms(ttl_ms);
  response->set_pushed(request.push());
  for (const std::string& key : request.keys()) {
    v1::ReadGrant* const grant = response->add_grants();
    const auto block = blocks.find(key);
    if (block == blocks.end()) {
      grant->set_outcome(v1::KEY_OUTCOME_MISS);
      continue;
    }
    grant->set_outcome(v1::KEY_OUTCOME_OK);
    grant->set_lease(++last_lease_);
    grant->set_size_bytes(block->second.bytes.size());
    grant->set_checksum(block->second.checksum);
    grant->set_attributes(block->second.attributes);
    if (!request.push()) grant->set_token("token");
    open_reads.insert(last_lease_);
    read_bytes_[last_lease_] = block->second.bytes;
  }
}

void FakeNode::GrantWrites(const v1::GrantWritesRequest& request,
                           v1::GrantWritesResponse* response) {
  response->set_ttl_ms(ttl_ms);
  for (const v1::WriteIntent& write : request.writes()) {
    v1::WriteGrant* const grant = response->add_grants();
    if (blocks.count(write.key()) > 0 && !request.replace()) {
      grant->set_outcome(v1::KEY_OUTCOME_EXISTS);
      continue;
    }
    grant->set_outcome(v1::KEY_OUTCOME_OK);
    grant->set_lease(++last_lease_);
    grant->set_token("token");
    open_writes[last_lease_] = write.key();
    filling_[last_lease_] = {std::string(write.size_bytes(), '\0'), write.attributes(), 0};
  }
}

void FakeNode::Commit(const v1::CommitRequest& request, v1::CommitResponse* response) {
  for (const v1::CommitItem& item : request.items()) {
    const auto write = open_writes.find(item.lease());
    if (write == open_writes.end()) {
      response->add_outcomes(v1::KEY_OUTCOME_MISS);
      continue;
    }
    filling_[item.lease()].checksum = item.checksum();
    blocks[write->second] = filling_[item.lease()];
    open_writes.erase(write);
    response->add_outcomes(v1::KEY_OUTCOME_OK);
  }
}

void FakeNode::Move(Transfer* transfer) {
  const uint64_t lease = static_cast<uint64_t>(transfer->token.lease);
  const bool reading = transfer->token.access == Access::kRead;
  std::string& bytes = reading ? read_bytes_[lease] : filling_[lease].bytes;
  Checksummer checksummer;
  checksummer.Reset(transfer->checksum_seed);
  size_t done = 0;
  for (const std::span<std::byte> slice : transfer->local) {
    if (needs_registration && !IsRegistered(slice)) {
      transfer->status = absl::InvalidArgumentError("move bytes: memory is not registered");
      return;
    }
    void* const remote = bytes.data() + done;
    std::memcpy(reading ? slice.data() : remote, reading ? remote : slice.data(),
                slice.size());
    checksummer.Update(slice);
    done += slice.size();
  }
  transfer->status = absl::OkStatus();
  if (transfer->want_checksum) transfer->checksum = checksummer.Finish();
}

bool FakeNode::IsRegistered(std::span<const std::byte> slice) const {
  for (const auto& [start, size] : registered) {
    if (slice.data() >= start && slice.data() + slice.size() <= start + size) return true;
  }
  return false;
}

}  // namespace kvasir
