#include "rdma/shm_server.h"

#include <fmt/core.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "base/log.h"
#include "rdma/shm_lane_table.h"
#include "rdma/shm_listener.h"
#include "rdma/shm_mapping.h"
#include "rdma/shm_packet.h"
#include "rdma/shm_put_receiver.h"
#include "rdma/shm_wire.h"

namespace kvasir {
namespace {

constexpr size_t kLoopsMax = 16;
constexpr int kEventsPerPoll = 64;
constexpr int kAcceptsPerPoll = 16;
// Packets of one lane before the others of its loop get their turn.
constexpr int kPutsPerTurn = 8;
constexpr std::chrono::milliseconds kGreetTimeMax{5'000};
// After running out of descriptors, how long connections wait in the socket's queue.
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr uint64_t kListenerId = 0;  // no connection has it

class ShmServerTransport final : public ServerTransport {
 public:
  struct Parts {
    std::string boot_id;
    std::unique_ptr<ShmListener> listener;
    std::vector<UniqueFd> epolls;  // one a loop
    Gate* gate = nullptr;
    const Clock* clock = nullptr;
  };
  ShmServerTransport(const ShmServer::Options& options, Parts parts);

  TransportKind kind() const override { return TransportKind::kShm; }
  absl::Status Export(const Region& region) override ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<std::string> Accept(SessionId session, LaneId lane,
                                     std::string_view hello) override;
  void Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) override;
  size_t loops() const override { return parts_.epolls.size(); }
  void Poll(size_t loop, std::chrono::milliseconds wait_max) override;
  void OnGranted(Access access, uint64_t size_bytes) override;
  TransportStats stats() const override;

 private:
  struct Exported {
    ShmWelcome welcome;
    std::vector<int> memfds;
  };
  using Keep = ShmLaneTable::Keep;

  void AcceptSome();
  void Meet(UniqueFd socket);
  void PauseListener(const absl::Status& why);
  void ResumeListener();
  void Serve(uint64_t id, uint32_t events);
  Keep Greet(ShmConnection* connection);
  absl::Status Welcome(ShmConnection* connection, const ShmLaneTable::Holder& holder);
  Keep ServePuts(ShmConnection* connection);
  Keep ServePut(ShmConnection* connection, std::string_view packet);
  Keep DropMalformed(const absl::Status& why);
  Exported ExportedNow() const ABSL_LOCKS_EXCLUDED(mu_);

  const ShmServer::Options options_;
  const Parts parts_;
  const ShmNonce name_ = RandomShmNonce();
  ShmLaneTable table_;
  // Statistics: they order nothing.
  std::atomic<uint64_t> read_bytes_{0};
  std::atomic<uint64_t> read_ops_{0};
  std::atomic<uint64_t> written_bytes_{0};
  std::atomic<uint64_t> written_ops_{0};
  std::atomic<uint64_t> refused_{0};
  // Touched by loop 0 alone.
  Instant listener_paused_until_{};
  bool listener_paused_ = false;
  mutable absl::Mutex mu_;
  std::vector<const Region*> regions_ ABSL_GUARDED_BY(mu_);
};

absl::Status Watch(int epoll, int fd, uint64_t id) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.u64 = id;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "shm: watch a socket");
}

void SetListenerEvents(int epoll, int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = kListenerId;
  epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);  // Cannot fail: the fd is being watched.
}

// Best effort: a peer that does not read it sees the hang-up.
void Refuse(int socket, const absl::Status& why) {
  SendShmPacket(socket, EncodeShm(ShmRefuse{.code = why.code(),
                                            .reason = std::string(why.message())}))
      .IgnoreError();
}

ShmServerTransport::ShmServerTransport(const ShmServer::Options& options, Parts parts)
    : options_(options), parts_(std::move(parts)) {}

absl::Status ShmServerTransport::Export(const Region& region) {
  absl::MutexLock lock(&mu_);
  if (regions_.size() >= kShmRegionsMax) {
    return absl::ResourceExhaustedError(
        fmt::format("shm export: {} regions are exported already", regions_.size()));
  }
  regions_.push_back(&region);
  return absl::OkStatus();
}

ShmServerTransport::Exported ShmServerTransport::ExportedNow() const {
  Exported exported;
  absl::MutexLock lock(&mu_);
  for (const Region* region : regions_) {
    exported.welcome.regions.push_back(
        {.id = region->id(), .size_bytes = region->bytes().size()});
    exported.memfds.push_back(region->memfd());
  }
  return exported;
}

absl::StatusOr<std::string> ShmServerTransport::Accept(SessionId session, LaneId lane,
                                                       std::string_view hello) {
  const absl::StatusOr<ShmHello> client = DecodeShmHello(hello);
  if (!client.ok()) return client.status();
  if (client->boot_id != parts_.boot_id) {
    return absl::FailedPreconditionError("shm: the client is on another host");
  }
  const absl::StatusOr<ShmNonce> nonce = table_.Offer(
      {.session = session, .lane = lane}, parts_.clock->Now() + options_.offer_ttl);
  if (!nonce.ok()) return nonce.status();
  return EncodeShm(ShmOffer{.nonce = *nonce, .socket_path = parts_.listener->path()});
}

void ShmServerTransport::Fence(const FenceTarget& target,
                               absl::AnyInvocable<void() &&> done) {
  table_.Fence(target, std::move(done));
}

void ShmServerTransport::Poll(size_t loop, std::chrono::milliseconds wait_max) {
  std::array<epoll_event, kEventsPerPoll> events;
  const int count = epoll_wait(parts_.epolls[loop].get(), events.data(), kEventsPerPoll,
                               static_cast<int>(wait_max.count()));
  for (int i = 0; i < count; ++i) {  // A count of -1 is a signal: nothing to do.
    if (events[i].data.u64 == kListenerId) {
      AcceptSome();
    } else {
      Serve(events[i].data.u64, events[i].events);
    }
  }
  table_.Expire(parts_.clock->Now());
  if (loop == 0) ResumeListener();
}

void ShmServerTransport::AcceptSome() {
  for (int i = 0; i < kAcceptsPerPoll; ++i) {
    absl::StatusOr<UniqueFd> accepted = parts_.listener->Accept();
    if (!accepted.ok()) return PauseListener(accepted.status());
    if (!accepted->valid()) return;
    Meet(*std::move(accepted));
  }
}

void ShmServerTransport::Meet(UniqueFd socket) {
  const int fd = socket.get();
  const absl::StatusOr<uid_t> uid = ShmPeerUid(fd);
  if (!uid.ok() || !MayConnectShm(*uid, {.own_uid = geteuid(),
                                         .allowed_uids = options_.allowed_uids})) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    return Refuse(fd, absl::FailedPreconditionError("shm: this user may not connect"));
  }
  const uint64_t id = table_.NextId();
  auto connection = std::make_unique<ShmConnection>(id, std::move(socket));
  // Watched first: once it is in the table another thread may end it, and an event for
  // what is not there yet comes again.
  absl::Status added = Watch(parts_.epolls[id % loops()].get(), fd, id);
  if (!added.ok()) return Refuse(fd, added);
  added = table_.Add(std::move(connection), parts_.clock->Now() + kGreetTimeMax);
  if (!added.ok()) refused_.fetch_add(1, std::memory_order_relaxed);
}

// The queue keeps the connections. Without the pause epoll would report them again at
// once, and the loop would spin until a descriptor is free.
void ShmServerTransport::PauseListener(const absl::Status& why) {
  Log(LogLevel::kWarning, ToStd(why.message()));
  SetListenerEvents(parts_.epolls[0].get(), parts_.listener->fd(), 0);
  listener_paused_ = true;
  listener_paused_until_ = parts_.clock->Now() + kAcceptPause;
}

void ShmServerTransport::ResumeListener() {
  if (!listener_paused_ || parts_.clock->Now() < listener_paused_until_) return;
  SetListenerEvents(parts_.epolls[0].get(), parts_.listener->fd(), EPOLLIN);
  listener_paused_ = false;
}

void ShmServerTransport::Serve(uint64_t id, uint32_t events) {
  ShmConnection* const connection = table_.CheckOut(id);
  if (connection == nullptr) return;
  Keep keep = Keep::kNo;
  // Of a client that hung up nothing is copied any more, even if its puts are queued.
  if ((events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) == 0) {
    keep = connection->puts == nullptr ? Greet(connection) : ServePuts(connection);
  }
  table_.CheckIn(id, keep);
}

ShmLaneTable::Keep ShmServerTransport::DropMalformed(const absl::Status& why) {
  refused_.fetch_add(1, std::memory_order_relaxed);
  Log(LogLevel::kWarning, fmt::format("shm: lane dropped: {}", why.ToString()));
  return Keep::kNo;
}

ShmLaneTable::Keep ShmServerTransport::Greet(ShmConnection* connection) {
  std::array<char, kShmPacketBytesMax> buffer;
  const absl::StatusOr<std::string_view> packet =
      ReceiveShmPacket(connection->socket.get(), buffer);
  if (!packet.ok()) return Keep::kNo;
  if (packet->empty()) return Keep::kYes;
  const absl::StatusOr<ShmGreet> greet = DecodeShmGreet(*packet);
  if (!greet.ok()) return DropMalformed(greet.status());
  const absl::StatusOr<ShmLaneTable::Holder> holder =
      table_.Redeem(connection->id, greet->nonce, parts_.clock->Now());
  const absl::Status welcomed =
      holder.ok() ? Welcome(connection, *holder) : holder.status();
  if (welcomed.ok()) return Keep::kYes;
  refused_.fetch_add(1, std::memory_order_relaxed);
  Refuse(connection->socket.get(), welcomed);
  return Keep::kNo;
}

absl::Status ShmServerTransport::Welcome(ShmConnection* connection,
                                         const ShmLaneTable::Holder& holder) {
  const absl::StatusOr<UniqueFd> ring = CreateShmRing(options_.ring_bytes);
  if (!ring.ok()) return ring.status();
  absl::StatusOr<ShmMapping> mapping = ShmMapping::Map(
      ring->get(),
      {.size_bytes = options_.ring_bytes, .mode = ShmMapping::Mode::kReadOnly});
  if (!mapping.ok()) return mapping.status();
  connection->puts = std::make_unique<ShmPutReceiver>(
      ShmPutReceiver::Options{
          .session = holder.session, .lane = holder.lane, .gate = parts_.gate},
      *std::move(mapping));
  Exported exported = ExportedNow();
  exported.welcome.server = name_;
  exported.welcome.ring_bytes = options_.ring_bytes;
  exported.memfds.insert(exported.memfds.begin(), ring->get());
  return SendShmPacket(connection->socket.get(), EncodeShm(exported.welcome),
                       exported.memfds);
}

ShmLaneTable::Keep ShmServerTransport::ServePuts(ShmConnection* connection) {
  std::array<char, kShmPacketBytesMax> buffer;
  for (int i = 0; i < kPutsPerTurn; ++i) {
    const absl::StatusOr<std::string_view> packet =
        ReceiveShmPacket(connection->socket.get(), buffer);
    if (absl::IsUnavailable(packet.status())) return Keep::kNo;
    if (!packet.ok()) return DropMalformed(packet.status());
    if (packet->empty()) return Keep::kYes;
    if (ServePut(connection, *packet) == Keep::kNo) return Keep::kNo;
  }
  return Keep::kYes;
}

ShmLaneTable::Keep ShmServerTransport::ServePut(ShmConnection* connection,
                                                std::string_view packet) {
  const absl::StatusOr<ShmPut> put = DecodeShmPut(packet);
  if (!put.ok()) return DropMalformed(put.status());
  const ShmLaneTable::Cut cut = table_.CutOf(connection->id);
  if (cut == ShmLaneTable::Cut::kAll) return Keep::kNo;
  absl::Status status = absl::UnavailableError("shm put: this lane's writes are fenced");
  if (cut == ShmLaneTable::Cut::kNone) {
    const uint64_t blocks_before = connection->puts->blocks_total();
    status = connection->puts->Receive(*put);
    if (absl::IsInvalidArgument(status)) return DropMalformed(status);
    written_ops_.fetch_add(connection->puts->blocks_total() - blocks_before,
                           std::memory_order_relaxed);
  }
  (status.ok() ? written_bytes_ : refused_)
      .fetch_add(status.ok() ? put->length_bytes : 1, std::memory_order_relaxed);
  const ShmAck ack{.sequence = put->sequence, .code = status.code()};
  return SendShmPacket(connection->socket.get(), EncodeShm(ack)).ok() ? Keep::kYes
                                                                      : Keep::kNo;
}

// Gets are copies out of a mapping, which the server does not see.
void ShmServerTransport::OnGranted(Access access, uint64_t size_bytes) {
  if (access != Access::kRead) return;
  read_bytes_.fetch_add(size_bytes, std::memory_order_relaxed);
  read_ops_.fetch_add(1, std::memory_order_relaxed);
}

TransportStats ShmServerTransport::stats() const {
  TransportStats stats;
  stats.lanes = table_.lanes();
  stats.read_bytes_total = read_bytes_.load(std::memory_order_relaxed);
  stats.read_ops_total = read_ops_.load(std::memory_order_relaxed);
  stats.written_bytes_total = written_bytes_.load(std::memory_order_relaxed);
  stats.written_ops_total = written_ops_.load(std::memory_order_relaxed);
  stats.refused_frames_total = refused_.load(std::memory_order_relaxed);
  return stats;
}

absl::Status CheckOptions(const ShmServer::Options& options) {
  if (options.ring_bytes < kShmRingBytesMin || options.ring_bytes > kShmRingBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("shm: a ring of {} bytes is not within {} to {}", options.ring_bytes,
                    kShmRingBytesMin, kShmRingBytesMax));
  }
  if (options.loops == 0 || options.loops > kLoopsMax) {
    return absl::InvalidArgumentError(
        fmt::format("shm: {} loops are not within 1 to {}", options.loops, kLoopsMax));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServerTransport>> ShmServer::Create(const Options& options,
                                                                   Gate* gate,
                                                                   const Clock* clock) {
  if (absl::Status good = CheckOptions(options); !good.ok()) return good;
  ShmServerTransport::Parts parts{.boot_id = ReadBootId(),
                                  .listener = nullptr,
                                  .epolls = {},
                                  .gate = gate,
                                  .clock = clock};
  if (parts.boot_id.empty()) {
    return absl::FailedPreconditionError("shm: this host does not tell its boot id");
  }
  absl::StatusOr<std::unique_ptr<ShmListener>> listener = ShmListener::Listen(
      options.directory.empty() ? DefaultShmDirectory() : options.directory,
      options.allowed_uids.empty() ? ShmReach::kOwner : ShmReach::kAnyUser);
  if (!listener.ok()) return listener.status();
  parts.listener = *std::move(listener);
  for (size_t i = 0; i < options.loops; ++i) {
    parts.epolls.emplace_back(epoll_create1(EPOLL_CLOEXEC));
    if (!parts.epolls.back().valid()) return ErrnoStatus(errno, "shm: epoll");
  }
  absl::Status watched = Watch(parts.epolls[0].get(), parts.listener->fd(), kListenerId);
  if (!watched.ok()) return watched;
  return std::make_unique<ShmServerTransport>(options, std::move(parts));
}

bool MayConnectShm(uint32_t uid, const ShmPeerRule& rule) {
  return uid == 0 || uid == rule.own_uid ||
         std::find(rule.allowed_uids.begin(), rule.allowed_uids.end(), uid) !=
             rule.allowed_uids.end();
}

}  // namespace kvasir
