#include "rdma/tcp_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

namespace kvasir {
namespace {

constexpr int kEventsMax = 64;
// What an epoll event names, besides connections.
constexpr uint64_t kWakeEvent = 0;
constexpr uint64_t kWatchEvent = ~uint64_t{0};

absl::Status AddToEpoll(int epoll, int fd, uint32_t events, uint64_t name) {
  epoll_event event = {.events = events, .data = {.u64 = name}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "watch socket");
}

}  // namespace

absl::StatusOr<std::unique_ptr<TcpLoop>> TcpLoop::Create(const Options& options,
                                                         const TcpConnection::Context& context,
                                                         const Clock* clock) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus(errno, "make epoll set");
  UniqueFd wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake.valid()) return ErrnoStatus(errno, "make eventfd");
  absl::Status added = AddToEpoll(epoll.get(), wake.get(), EPOLLIN, kWakeEvent);
  if (!added.ok()) return added;
  return std::unique_ptr<TcpLoop>(
      new TcpLoop(options, context, clock, std::move(epoll), std::move(wake)));
}

TcpLoop::TcpLoop(const Options& options, const TcpConnection::Context& context,
                 const Clock* clock, UniqueFd epoll, UniqueFd wake)
    : options_(options),
      context_(context),
      clock_(clock),
      epoll_(std::move(epoll)),
      wake_(std::move(wake)) {}

TcpLoop::~TcpLoop() = default;

absl::Status TcpLoop::Watch(int fd, absl::AnyInvocable<void()> ready) {
  watched_ = std::move(ready);
  // Edge-triggered: a listener that cannot be served, for want of descriptors, must not
  // keep the loop spinning.
  return AddToEpoll(epoll_.get(), fd, EPOLLIN | EPOLLET, kWatchEvent);
}

void TcpLoop::Adopt(UniqueFd fd) {
  connections_.fetch_add(1, std::memory_order_relaxed);
  Post([this, fd = std::move(fd)]() mutable { Begin(std::move(fd)); });
}

void TcpLoop::Cut(TcpConnectionId connection, FenceScope scope, TcpFenceId fence) {
  Post([this, connection, scope, fence] { CutNow(connection, scope, fence); });
}

void TcpLoop::Wake(TcpConnectionId connection) {
  Post([this, connection] {
    if (TcpConnection* const found = Find(connection); found != nullptr) Serve(found);
  });
}

void TcpLoop::Reap(TcpConnectionId connection) {
  Post([this, connection] {
    auto node = closing_.extract(connection);
    if (!node.empty()) Free(std::move(node.mapped()));
  });
}

void TcpLoop::Poll(std::chrono::milliseconds wait_max) {
  std::array<epoll_event, kEventsMax> events;
  const int timeout_ms = ready_.empty() ? static_cast<int>(wait_max.count()) : 0;
  const int count = epoll_wait(epoll_.get(), events.data(), kEventsMax, timeout_ms);
  now_ = clock_->Now();
  for (int i = 0; i < count; ++i) {
    const uint64_t name = events[i].data.u64;
    if (name == kWakeEvent) {
      RunTasks();
    } else if (name == kWatchEvent) {
      watched_();
    } else if (TcpConnection* const connection = Find(TcpConnectionId{name});
               connection == nullptr) {
      continue;  // Closed by an earlier event of this round.
    } else if ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0) {
      Close(connection);
    } else {
      Serve(connection);
    }
  }
  RunReady();
  if (now_ >= next_sweep_) Sweep();
}

void TcpLoop::Post(Task task) {
  bool first = false;
  {
    absl::MutexLock lock(&mu_);
    first = tasks_.empty();
    tasks_.push_back(std::move(task));
  }
  // Whoever finds tasks already there knows that the loop has been woken for them.
  if (first) eventfd_write(wake_.get(), 1);
}

void TcpLoop::RunTasks() {
  eventfd_t count;
  eventfd_read(wake_.get(), &count);
  std::vector<Task> tasks;
  {
    absl::MutexLock lock(&mu_);
    tasks.swap(tasks_);
  }
  for (Task& task : tasks) task();
}

void TcpLoop::RunReady() {
  std::vector<TcpConnectionId> ready;
  ready.swap(ready_);
  for (const TcpConnectionId id : ready) {
    if (TcpConnection* const connection = Find(id); connection != nullptr) Serve(connection);
  }
}

void TcpLoop::Sweep() {
  next_sweep_ = now_ + kSweepInterval;
  if (watched_ != nullptr) watched_();
  context_.lanes->DropStaleOffers(now_);
  for (auto it = impatient_.begin(); it != impatient_.end();) {
    TcpConnection* const connection = Find(*it);
    if (connection != nullptr && connection->patience_end().has_value()) {
      ++it;
      if (*connection->patience_end() <= now_) Close(connection);
    } else {
      it = impatient_.erase(it);
    }
  }
}

void TcpLoop::Begin(UniqueFd fd) {
  MakeRoomForImpatient();
  const TcpConnectionId id{next_connection_++};
  const int socket = fd.get();
  auto connection = std::make_unique<TcpConnection>(
      std::move(fd), TcpPlace{.loop = options_.index, .connection = id}, context_,
      now_ + options_.attach_patience);
  const absl::Status added = AddToEpoll(
      epoll_.get(), socket, EPOLLIN | EPOLLOUT | EPOLLET, static_cast<uint64_t>(id));
  if (!added.ok()) return Free(std::move(connection));
  TcpConnection* const borrowed = connection.get();
  open_[id] = std::move(connection);
  impatient_.insert(id);
  Serve(borrowed);
}

void TcpLoop::MakeRoomForImpatient() {
  while (impatient_.size() >= options_.impatient_max) {
    const TcpConnectionId oldest = *impatient_.begin();
    impatient_.erase(impatient_.begin());
    TcpConnection* const connection = Find(oldest);
    if (connection != nullptr && connection->patience_end().has_value()) Close(connection);
  }
}

void TcpLoop::Serve(TcpConnection* connection) {
  switch (connection->Work(now_)) {
    case TcpConnection::State::kWaiting: break;
    case TcpConnection::State::kReady:
      ready_.push_back(connection->place().connection);
      break;
    case TcpConnection::State::kDead: return Close(connection);
  }
  if (connection->patience_end().has_value()) {
    impatient_.insert(connection->place().connection);
  }
}

void TcpLoop::CutNow(TcpConnectionId id, FenceScope scope, TcpFenceId fence) {
  if (TcpConnection* const connection = Find(id); connection != nullptr) {
    if (scope == FenceScope::kWrites) {
      connection->CutWrites();
      return Pass(fence);
    }
    connection->fences().push_back(fence);
    return Close(connection);
  }
  const auto closing = closing_.find(id);
  // A closing connection copies nothing into the arena any more, but only when it is
  // freed does nothing of the lane remain.
  if (closing == closing_.end() || scope == FenceScope::kWrites) return Pass(fence);
  closing->second->fences().push_back(fence);
}

void TcpLoop::Close(TcpConnection* connection) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection->fd(), nullptr);
  // A thread that pushes on it finds out at once.
  shutdown(connection->fd(), SHUT_RDWR);
  const TcpConnectionId id = connection->place().connection;
  auto node = open_.extract(id);
  if (connection->lane().has_value() && !context_.lanes->BeginClose(*connection->lane())) {
    closing_[id] = std::move(node.mapped());
    return;
  }
  Free(std::move(node.mapped()));
}

void TcpLoop::Free(std::unique_ptr<TcpConnection> connection) {
  const std::optional<TcpLaneKey> lane = connection->lane();
  const std::vector<TcpFenceId> fences = std::move(connection->fences());
  connection.reset();
  connections_.fetch_sub(1, std::memory_order_relaxed);
  if (lane.has_value()) context_.lanes->Erase(*lane);
  for (const TcpFenceId fence : fences) Pass(fence);
}

void TcpLoop::Pass(TcpFenceId fence) {
  TcpLaneTable::Done done = context_.lanes->Pass(fence);
  if (done != nullptr) std::move(done)();
}

TcpConnection* TcpLoop::Find(TcpConnectionId id) const {
  const auto it = open_.find(id);
  return it == open_.end() ? nullptr : it->second.get();
}

}  // namespace kvasir
