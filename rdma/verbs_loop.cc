#include "rdma/verbs_loop.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "rdma/verbs_queue.h"

namespace kvasir {
namespace {

constexpr int kReapBatch = 32;
constexpr int kDeviceEventsMax = 16;  // looked at in one Poll

void MakeNonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace

absl::StatusOr<std::unique_ptr<VerbsLoop>> VerbsLoop::Make(
    std::span<const std::unique_ptr<VerbsDevice>> rails, const Options& options) {
  std::unique_ptr<VerbsLoop> loop(new VerbsLoop());
  if (absl::Status made = loop->Start(rails, options); !made.ok()) return made;
  return loop;
}

absl::Status VerbsLoop::Start(std::span<const std::unique_ptr<VerbsDevice>> rails,
                              const Options& options) {
  watches_devices_ = options.watches_devices;
  solicited_only_ = options.solicited_only;
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return ErrnoStatus(errno, "rdma: make an eventfd");
  uint32_t completions = kVerbsServerCompletions;
  for (const auto& device : rails) {
    completions = std::min(completions, device->limits().completions);
  }
  completions_max_ = completions;
  for (const auto& device : rails) {
    Rail& rail = rails_.emplace_back();
    rail.device = device.get();
    rail.channel.reset(ibv_create_comp_channel(device->context()));
    if (rail.channel == nullptr) return ErrnoStatus(errno, "rdma: make a completion channel");
    rail.cq.reset(ibv_create_cq(device->context(), static_cast<int>(completions), nullptr,
                                rail.channel.get(), 0));
    if (rail.cq == nullptr) {
      return ErrnoStatus(errno, fmt::format("rdma: make a queue of {} completions on {}",
                                            completions, device->name()));
    }
    MakeNonblocking(rail.channel->fd);
    if (watches_devices_) MakeNonblocking(device->context()->async_fd);
    const int error = ibv_req_notify_cq(rail.cq.get(), solicited_only_ ? 1 : 0);
    if (error != 0) return ErrnoStatus(error, "rdma: arm a completion queue");
  }
  return absl::OkStatus();
}

VerbsLoop::~VerbsLoop() {
  std::vector<Task> left = std::move(stuck_);
  {
    absl::MutexLock lock(&mu_);
    std::move(tasks_.begin(), tasks_.end(), std::back_inserter(left));
    tasks_.clear();
  }
  for (Task& task : left) {
    task.queues.clear();
    std::move(task.done)();
  }
}

void VerbsLoop::Submit(Task task) {
  {
    absl::MutexLock lock(&mu_);
    tasks_.push_back(std::move(task));
  }
  eventfd_write(wake_.get(), 1);
}

void VerbsLoop::Poll(std::chrono::milliseconds wait_max, Completed completed) {
  Wait(wait_max);
  for (Rail& rail : rails_) {
    TakeEvents(&rail);
    Reap(&rail, completed);
    if (watches_devices_) LogDeviceEvents(*rail.device);
  }
  std::vector<Task> tasks = std::exchange(stuck_, {});
  {
    absl::MutexLock lock(&mu_);
    std::move(tasks_.begin(), tasks_.end(), std::back_inserter(tasks));
    tasks_.clear();
  }
  for (Task& task : tasks) {
    if (Run(&task)) {
      std::move(task.done)();
    } else {
      stuck_.push_back(std::move(task));
    }
  }
}

void VerbsLoop::Wait(std::chrono::milliseconds wait_max) {
  std::array<pollfd, 1 + 2 * kVerbsRailsMax> fds;
  size_t count = 0;
  fds[count++] = {.fd = wake_.get(), .events = POLLIN, .revents = 0};
  for (const Rail& rail : rails_) {
    fds[count++] = {.fd = rail.channel->fd, .events = POLLIN, .revents = 0};
    if (!watches_devices_) continue;
    fds[count++] = {.fd = rail.device->context()->async_fd, .events = POLLIN, .revents = 0};
  }
  (void)poll(fds.data(), count, static_cast<int>(wait_max.count()));
  eventfd_t woken = 0;
  (void)eventfd_read(wake_.get(), &woken);
}

void VerbsLoop::TakeEvents(Rail* rail) {
  ibv_cq* cq = nullptr;
  void* context = nullptr;
  unsigned taken = 0;
  while (ibv_get_cq_event(rail->channel.get(), &cq, &context) == 0) ++taken;
  if (taken == 0) return;
  ibv_ack_cq_events(rail->cq.get(), taken);
  // What completes from here on gives an event; what did before, Reap sees.
  (void)ibv_req_notify_cq(rail->cq.get(), solicited_only_ ? 1 : 0);
}

void VerbsLoop::Reap(Rail* rail, Completed completed) {
  std::array<ibv_wc, kReapBatch> completions;
  int count = 0;
  do {
    count = ibv_poll_cq(rail->cq.get(), kReapBatch, completions.data());
    for (int i = 0; i < count; ++i) completed(completions[static_cast<size_t>(i)]);
  } while (count == kReapBatch);
}

void VerbsLoop::LogDeviceEvents(const VerbsDevice& device) {
  for (int i = 0; i < kDeviceEventsMax; ++i) {
    ibv_async_event event{};
    if (ibv_get_async_event(device.context(), &event) != 0) return;
    const bool is_bad = event.event_type == IBV_EVENT_DEVICE_FATAL ||
                        event.event_type == IBV_EVENT_PORT_ERR ||
                        event.event_type == IBV_EVENT_CQ_ERR;
    Log(is_bad ? LogLevel::kError : LogLevel::kInfo,
        fmt::format("rdma: {}: {}", device.name(), ibv_event_type_str(event.event_type)));
    ibv_ack_async_event(&event);
  }
}

bool VerbsLoop::Run(Task* task) {
  // leases.md, "What a fence is": after ERR alone a packet may still land.
  for (VerbsCutQueue& queue : task->queues) FailVerbsQueue(queue.qp.get()).IgnoreError();
  std::vector<VerbsCutQueue> left;
  for (VerbsCutQueue& queue : task->queues) {
    ibv_qp* const raw = queue.qp.release();
    const int error = ibv_destroy_qp(raw);
    if (error == 0) continue;
    Log(LogLevel::kError, fmt::format("rdma: destroy queue pair {}: {}; its memory stays "
                                      "in quarantine",
                                      raw->qp_num, strerrordesc_np(error)));
    left.push_back({std::move(queue.mailbox), VerbsQp(raw)});
  }
  task->queues = std::move(left);
  return task->queues.empty();
}

}  // namespace kvasir
