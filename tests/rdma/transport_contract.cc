#include "tests/rdma/transport_contract.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/time/time.h"
#include "base/check.h"

namespace kvasir {
namespace {

// Cuts `bytes` into `count` pieces, each about half of what is left; the last may be
// empty.
std::vector<std::span<std::byte>> Cut(std::span<std::byte> bytes, size_t count) {
  std::vector<std::span<std::byte>> pieces;
  while (pieces.size() + 1 < count) {
    const size_t piece = (bytes.size() + 1) / 2;
    pieces.push_back(bytes.first(piece));
    bytes = bytes.subspan(piece);
  }
  pieces.push_back(bytes);
  return pieces;
}

}  // namespace

TransferBatch::TransferBatch(ClientTransport* client, std::vector<Token> tokens,
                             size_t slices) {
  uint64_t total = 0;
  for (const Token& token : tokens) total += token.extent.size_bytes;
  memory_.resize(total);
  absl::StatusOr<std::unique_ptr<MemoryRegion>> registration = client->Register(memory_);
  KV_CHECK(registration.ok());
  registration_ = *std::move(registration);
  std::span<std::byte> rest = memory_;
  for (Token& token : tokens) {
    locals_.push_back(rest.first(token.extent.size_bytes));
    rest = rest.subspan(token.extent.size_bytes);
    slices_.push_back(Cut(locals_.back(), slices));
    transfers_.push_back({.token = std::move(token)});
  }
  for (size_t i = 0; i < transfers_.size(); ++i) {
    transfers_[i].local = slices_[i];
    transfers_[i].checksum_seed = 1000 + i;
    transfers_[i].status = absl::InternalError("not run");
  }
}

void TransferBatch::FillLocals(uint64_t seed) {
  for (size_t i = 0; i < locals_.size(); ++i) FillPattern(locals_[i], seed * 1000 + i);
}

bool TransferBatch::AllOk() const {
  return std::all_of(transfers_.begin(), transfers_.end(),
                     [](const Transfer& transfer) { return transfer.status.ok(); });
}

std::string TransferBatch::Statuses() const {
  std::string text;
  for (const Transfer& transfer : transfers_) text += transfer.status.ToString() + "\n";
  return text;
}

void FillPattern(std::span<std::byte> bytes, uint64_t seed) {
  uint64_t state = seed * 0x9e3779b97f4a7c15 + 1;
  for (size_t i = 0; i < bytes.size(); i += sizeof(state)) {
    state = state * 6364136223846793005 + 1442695040888963407;
    std::memcpy(bytes.data() + i, &state, std::min(sizeof(state), bytes.size() - i));
  }
}

bool AllEqual(std::span<const std::byte> bytes, std::byte value) {
  // Each byte equals the next, in one comparison: the compiler need not optimise this.
  return bytes.empty() || (bytes[0] == value && std::memcmp(bytes.data(), bytes.data() + 1,
                                                            bytes.size() - 1) == 0);
}

bool SameBytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

size_t OpenFileCount() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

const Region* TransportContract::SharedRegion() {
  static const std::unique_ptr<Region>* const region = new std::unique_ptr<Region>(
      *Region::Map({.id = RegionId{1}, .size_bytes = kRegionBytes}));
  std::memset((*region)->bytes().data(), 0, kRegionBytes);
  return region->get();
}

TransportContract::TransportContract()
    : halves_(GetParam().make(&gate_, Clock::Real())) {
  KV_CHECK(halves_.server->Export(gate_.region()).ok());
  loops_ = std::make_unique<ServerLoops>(halves_.server.get());
}

TransportContract::~TransportContract() { KillServer(); }

void TransportContract::StopLoops() { loops_.reset(); }

void TransportContract::KillServer() {
  StopLoops();
  halves_.server.reset();
}

absl::StatusOr<std::unique_ptr<Lane>> TransportContract::TryOpen(SessionId session,
                                                                 LaneId id) {
  return halves_.client->Connect(
      [&](std::string_view hello) { return halves_.server->Accept(session, id, hello); },
      In(kPatience));
}

TransportContract::OpenLane TransportContract::Open(SessionId session) {
  const LaneId id{next_lane_++};
  absl::StatusOr<std::unique_ptr<Lane>> lane = TryOpen(session, id);
  EXPECT_TRUE(lane.ok()) << lane.status();
  KV_CHECK(lane.ok());
  return {.session = session, .id = id, .lane = *std::move(lane)};
}

Token TransportContract::Grant(const OpenLane& lane, Access access, uint64_t size_bytes) {
  return gate_.Grant({.session = lane.session,
                      .lane = lane.id,
                      .access = access,
                      .size_bytes = size_bytes,
                      .checksum_seed = 1000});
}

std::vector<Token> TransportContract::GrantMany(const OpenLane& lane, Access access,
                                                size_t count, uint64_t size_bytes) {
  std::vector<Token> tokens;
  for (size_t i = 0; i < count; ++i) tokens.push_back(Grant(lane, access, size_bytes));
  return tokens;
}

void TransportContract::Run(const OpenLane& lane, TransferBatch& batch) {
  lane.lane->Run(batch.transfers(), In(kPatience));
}

std::unique_ptr<Concurrently> TransportContract::RunUntilCut(const OpenLane& lane,
                                                             TransferBatch& batch) {
  constexpr uint64_t kSome = 3;  // copies
  const uint64_t before = gate_.admitted();
  const bool again = GetParam().one_sided;
  loops_->PauseOnce([this, before] { return gate_.admitted() >= before + kSome; });
  auto run = std::make_unique<Concurrently>([this, &lane, &batch, again] {
    do {
      Run(lane, batch);
    } while (again && batch.AllOk());
  });
  if (!again) {
    KV_CHECK(gate_.AwaitAdmitted(before + kSome, kPatience));
    return run;
  }
  // What has arrived is all that there is to see of a move.
  const Instant patience = In(kPatience);
  const std::span<std::byte> arriving = gate_.Bytes(batch[0].token).first(sizeof(uint64_t));
  while (!SameBytes(arriving, batch.local(0).first(arriving.size()))) {
    KV_CHECK(Clock::Real()->Now() < patience);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  return run;
}

void TransportContract::Fence(SessionId session, LaneId lane, FenceScope scope,
                              absl::Notification* done) {
  halves_.server->Fence({.session = session, .lane = lane, .scope = scope},
                        [done] { done->Notify(); });
}

void TransportContract::FenceAndWait(SessionId session, LaneId lane, FenceScope scope) {
  absl::Notification done;
  Fence(session, lane, scope, &done);
  KV_CHECK(done.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
}

Concurrently::Concurrently(absl::AnyInvocable<void() &&> run)
    : pool_(std::make_unique<ThreadPool>(ThreadPool::Options{.name = "test-run"})) {
  KV_CHECK(pool_->Submit(std::move(run)));
}

}  // namespace kvasir
