#include "rdma/verbs_lane.h"

#include <fmt/core.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/fd.h"
#include "base/log.h"

namespace kvasir {
namespace {

// How long to look for a completion before going to sleep: about what a wake-up costs.
constexpr std::chrono::microseconds kVerbsBusyPoll{20};
constexpr size_t kNoPiece = SIZE_MAX;  // tag of requests that are not of the plan
// A wait is cut here, and looks at the queues again: soft-RoCE loses an event now and then
// that was asked for just when a completion came (Linux 6.1, rxe_cq_post: it looks whether
// one is wanted once it has let the queue go).
constexpr std::chrono::milliseconds kAwaitMax{10};

size_t SlicesMax(const std::vector<std::unique_ptr<VerbsClientRail>>& rails) {
  size_t slices = kVerbsSlicesMax;
  for (const auto& rail : rails) slices = std::min(slices, rail->slices_max());
  return slices;
}

}  // namespace

VerbsLane::VerbsLane(Parts parts)
    : parts_(std::move(parts)), plan_({.slices_max = SlicesMax(parts_.rails)}) {
  KV_CHECK(!parts_.rails.empty() && parts_.rails.size() <= parts_.offer.rails.size());
  queues_.resize(parts_.rails.size());
}

VerbsLane::~VerbsLane() {
  for (const auto& rail : parts_.rails) rail->Close(parts_.clock);
}

absl::Status VerbsLane::Probe(Instant deadline) {
  if (parts_.offer.regions.empty()) {
    return absl::InvalidArgumentError("open rdma lane: the server offers no memory");
  }
  const absl::StatusOr<VerbsPlace> place =
      FindVerbsPlace(parts_.offer.regions, parts_.offer.regions[0].id, 0);
  if (!place.ok()) return place.status();
  for (size_t rail = 0; rail < parts_.rails.size(); ++rail) {
    AddFlush(rail, *place);
    // A WRITE of nothing needs no memory, and is answered all the same (InfiniBand
    // Architecture Specification, volume 1, section 9.7.4.1.6).
    parts_.rails[rail]->Add({.access = Access::kWrite,
                             .remote_address = place->address,
                             .remote_key = RemoteKey(rail, *place, Access::kWrite),
                             .slices = {},
                             .bytes = 0,
                             .tag = kNoPiece});
  }
  absl::Status answered = PostAll();
  if (answered.ok()) answered = AwaitProbes(deadline);
  if (!answered.ok()) Abandon(answered);
  if (absl::IsDeadlineExceeded(answered) || answered.ok()) return answered;
  return absl::UnavailableError(answered.message());
}

absl::Status VerbsLane::AwaitProbes(Instant deadline) {
  const auto answered_all = [this](size_t rail) {
    return parts_.rails[rail]->requests_in_flight() == 0;
  };
  const Instant now = parts_.clock->Now();
  Instant patience = now + (deadline - now) / 2;
  while (true) {
    const absl::Status answered = Exchange(patience);
    if (answered.ok()) return answered;
    if (!absl::IsDeadlineExceeded(answered)) {
      if (parts_.rails.size() == 1) return answered;
      DropRails([this](size_t rail) { return rail != failed_rail_; }, answered);
      continue;
    }
    size_t answering = 0;
    for (size_t rail = 0; rail < parts_.rails.size(); ++rail) {
      answering += answered_all(rail) ? 1 : 0;
    }
    if (answering > 0) {
      DropRails(answered_all, answered);
    } else if (patience == deadline) {
      return answered;
    }
    patience = deadline;
  }
}

void VerbsLane::DropRails(absl::FunctionRef<bool(size_t rail)> good, const absl::Status& why) {
  std::vector<std::unique_ptr<VerbsClientRail>> left;
  for (size_t i = 0; i < parts_.rails.size(); ++i) {
    std::unique_ptr<VerbsClientRail>& rail = parts_.rails[i];
    if (good(i)) {
      left.push_back(std::move(rail));
      continue;
    }
    Log(LogLevel::kWarning,
        fmt::format("rdma: rail {}, {}, does not answer and is left out: {}", rail->number(),
                    rail->device_name(), std::string(why.message())));
    rail->Close(parts_.clock);
  }
  parts_.rails = std::move(left);
  queues_.resize(parts_.rails.size());
}

absl::Status VerbsLane::CheckTransfer(const Transfer& transfer) const {
  if (!usable_) return absl::UnavailableError("move: this lane is closed");
  const absl::StatusOr<TokenClaims> claims = ReadClaims(transfer.token.sealed);
  if (!claims.ok()) return claims.status();
  if (claims->session != parts_.offer.session || claims->lane != parts_.offer.lane ||
      claims->access != transfer.token.access || claims->extent != transfer.token.extent) {
    return absl::PermissionDeniedError("move: the token is for something else");
  }
  for (const std::span<std::byte> slice : transfer.local) {
    if (slice.empty() || parts_.memory->Find(slice).has_value()) continue;
    return absl::InvalidArgumentError(
        fmt::format("move: {} bytes of local memory are not registered", slice.size()));
  }
  return absl::OkStatus();
}

void VerbsLane::Plan(std::span<Transfer> batch) {
  plan_.Clear();
  wrote_.fill(false);
  for (Transfer& transfer : batch) {
    transfer.status = CheckTransfer(transfer);
    if (transfer.status.ok()) transfer.status = plan_.Add(&transfer, parts_.offer.regions);
  }
}

void VerbsLane::Run(std::span<Transfer> batch, Instant deadline) {
  Plan(batch);
  if (plan_.Finished()) return;
  const absl::Status moved = Move(deadline);
  if (moved.ok()) {
    plan_.Report(absl::OkStatus());
  } else {
    Abandon(moved);
  }
  plan_.Clear();
}

absl::Status VerbsLane::Move(Instant deadline) {
  if (absl::Status moved = Exchange(deadline); !moved.ok()) return moved;
  for (size_t rail = 0; rail < parts_.rails.size(); ++rail) {
    if (wrote_[rail]) AddFlush(rail, written_[rail]);
  }
  if (absl::Status posted = PostAll(); !posted.ok()) return posted;
  return Exchange(deadline);
}

VerbsClientRail* VerbsLane::mail_rail() const {
  for (const auto& rail : parts_.rails) {
    if (rail->has_mailbox()) return rail.get();
  }
  return nullptr;
}

bool VerbsLane::carries_messages() const { return mail_rail() != nullptr; }

absl::Status VerbsLane::Send(std::string_view request) {
  if (!usable_) return absl::UnavailableError("send message: this lane is closed");
  VerbsClientRail* const rail = mail_rail();
  if (rail == nullptr || request.size() > kLaneMessageBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("send message: {} bytes on a lane that carries {}", request.size(),
                    rail == nullptr ? 0 : kLaneMessageBytesMax));
  }
  absl::Status sent = rail->SendMessage(request);
  if (!sent.ok()) Abandon(sent);
  return sent;
}

absl::StatusOr<std::optional<std::string_view>> VerbsLane::Receive(Instant until) {
  if (!usable_) return absl::UnavailableError("receive message: this lane is closed");
  const VerbsClientRail& rail = *mail_rail();
  absl::Status exchanged = Exchange(until);
  if (absl::IsDeadlineExceeded(exchanged)) {
    if (rail.requests_in_flight() == 0) exchanged = AskForLife();
    if (absl::IsDeadlineExceeded(exchanged) || exchanged.ok()) return std::nullopt;
  }
  if (!exchanged.ok()) {
    Abandon(exchanged);
    return absl::UnavailableError(exchanged.message());
  }
  return rail.answer();
}

absl::Status VerbsLane::AskForLife() {
  const absl::StatusOr<VerbsPlace> place =
      FindVerbsPlace(parts_.offer.regions, parts_.offer.regions[0].id, 0);
  if (!place.ok()) return place.status();
  for (size_t rail = 0; rail < parts_.rails.size(); ++rail) {
    if (parts_.rails[rail].get() == mail_rail()) AddFlush(rail, *place);
  }
  return PostAll();
}

bool VerbsLane::busy() const {
  return !plan_.Finished() ||
         std::any_of(parts_.rails.begin(), parts_.rails.end(), [](const auto& rail) {
           return rail->requests_in_flight() > 0 || rail->exchanging();
         });
}

absl::Status VerbsLane::Exchange(Instant deadline) {
  Instant idle_since = parts_.clock->Now();
  bool armed = false;
  while (busy()) {
    const Instant now = parts_.clock->Now();
    const absl::StatusOr<bool> reaped = ReapSome();
    if (!reaped.ok()) return reaped.status();
    if (now >= deadline && busy()) return absl::DeadlineExceededError("move: deadline");
    const absl::StatusOr<bool> posted = PostSome();
    if (!posted.ok()) return posted.status();
    const bool hashed = plan_.HashNext();
    if (*posted || *reaped || hashed) {
      idle_since = parts_.clock->Now();
    } else if (armed) {
      if (absl::Status waited = Await(deadline); !waited.ok()) return waited;
      armed = false;
    } else if (now - idle_since >= kVerbsBusyPoll) {
      if (absl::Status ready = Arm(); !ready.ok()) return ready;
      armed = true;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> VerbsLane::PostSome() {
  bool any = false;
  while (const VerbsPlan::Piece* const piece = plan_.Peek()) {
    const Access access = plan_.next_access();
    for (size_t i = 0; i < parts_.rails.size(); ++i) {
      queues_[i] = &parts_.rails[i]->credits(access);
    }
    const std::optional<size_t> rail = LeastLoaded(queues_, piece->bytes);
    if (!rail.has_value()) break;
    AddPiece(*rail, *piece, access);
    any = true;
  }
  if (!any) return false;
  if (absl::Status posted = PostAll(); !posted.ok()) return posted;
  return true;
}

void VerbsLane::AddPiece(size_t rail, const VerbsPlan::Piece& piece, Access access) {
  std::array<ibv_sge, kVerbsSlicesMax> slices;
  for (size_t i = 0; i < piece.slices; ++i) {
    const std::span<const std::byte> bytes(
        static_cast<const std::byte*>(piece.local[i].iov_base), piece.local[i].iov_len);
    const std::optional<VerbsLocalKeys> keys = parts_.memory->Find(bytes);
    KV_CHECK(keys.has_value());  // Plan has looked; registrations outlive Run.
    slices[i] = {.addr = reinterpret_cast<uint64_t>(bytes.data()),
                 .length = static_cast<uint32_t>(bytes.size()),
                 .lkey = (*keys)[parts_.rails[rail]->number()]};
  }
  if (access == Access::kWrite) {
    wrote_[rail] = true;
    written_[rail] = piece.place;
  }
  const VerbsPlace place = piece.place;
  parts_.rails[rail]->Add({.access = access,
                           .remote_address = place.address,
                           .remote_key = RemoteKey(rail, place, access),
                           .slices = std::span(slices).first(piece.slices),
                           .bytes = piece.bytes,
                           .tag = plan_.Take()});
}

void VerbsLane::AddFlush(size_t rail, const VerbsPlace& place) {
  const std::optional<VerbsLocalKeys> keys = parts_.memory->Find(parts_.scratch);
  KV_CHECK(keys.has_value());
  const ibv_sge slice = {.addr = reinterpret_cast<uint64_t>(parts_.scratch.data()),
                         .length = 1,
                         .lkey = (*keys)[parts_.rails[rail]->number()]};
  parts_.rails[rail]->Add({.access = Access::kRead,
                           .remote_address = place.address,
                           .remote_key = RemoteKey(rail, place, Access::kRead),
                           .slices = std::span(&slice, 1),
                           .bytes = 1,
                           .tag = kNoPiece});
}

uint32_t VerbsLane::RemoteKey(size_t rail, const VerbsPlace& place, Access access) const {
  const VerbsRegion& region = parts_.offer.regions[place.region];
  const VerbsKeys& keys =
      region.keys[parts_.rails[rail]->number() * region.chunks() + place.chunk];
  return access == Access::kRead ? keys.read : keys.write;
}

absl::Status VerbsLane::PostAll() {
  for (const auto& rail : parts_.rails) {
    if (absl::Status posted = rail->Post(); !posted.ok()) return posted;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> VerbsLane::ReapSome() {
  bool any = false;
  for (size_t i = 0; i < parts_.rails.size(); ++i) {
    std::optional<VerbsClientRail::Failure> failed = parts_.rails[i]->Reap([&](size_t tag) {
      any = true;
      if (tag != kNoPiece) plan_.Settle(tag);
    });
    if (!failed.has_value()) continue;
    failed_rail_ = i;
    if (failed->tag != kNoPiece) plan_.Blame(failed->tag, failed->status);
    return absl::UnavailableError(failed->status.message());
  }
  return any;
}

absl::Status VerbsLane::Arm() {
  for (const auto& rail : parts_.rails) {
    if (absl::Status armed = rail->Arm(); !armed.ok()) return armed;
  }
  return absl::OkStatus();
}

absl::Status VerbsLane::Await(Instant deadline) {
  std::array<pollfd, kVerbsRailsMax> fds;
  for (size_t i = 0; i < parts_.rails.size(); ++i) {
    fds[i] = {.fd = parts_.rails[i]->fd(), .events = POLLIN, .revents = 0};
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::min<BootClock::duration>(
      deadline - parts_.clock->Now(), kAwaitMax));
  const int ready = poll(fds.data(), parts_.rails.size(),
                         static_cast<int>(std::max<int64_t>(left.count(), 0)));
  if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "move: wait for completions");
  for (size_t i = 0; ready > 0 && i < parts_.rails.size(); ++i) {
    if (fds[i].revents != 0) parts_.rails[i]->TakeEvent();
  }
  return absl::OkStatus();
}

void VerbsLane::Abandon(const absl::Status& status) {
  usable_ = false;
  for (const auto& rail : parts_.rails) rail->Close(parts_.clock);
  plan_.Report(status);
}

}  // namespace kvasir
