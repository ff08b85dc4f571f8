#ifndef KVASIR_RDMA_VERBS_LOOP_H_
#define KVASIR_RDMA_VERBS_LOOP_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/fd.h"
#include "rdma/verbs_device.h"
#include "rdma/verbs_handles.h"
#include "rdma/verbs_mailbox.h"

namespace kvasir {

// Room for completions a loop and rail.
inline constexpr uint32_t kVerbsServerCompletions = 16'384;

// The server's background work: destroys queue pairs, which may block in the driver until
// the NIC has let go, and watches the receives that bring messages or tell of refused
// requests.
//
// Threads: Poll from one at a time; the rest from any. Destroy it with every queue pair on
// its completion queues gone but those in Submit, which it then settles.
class VerbsLoop {
 public:
  struct Task {
    std::vector<VerbsCutQueue> queues;
    absl::AnyInvocable<void() &&> done;
  };

  struct Options {
    // One loop a server: it logs what happens to the devices.
    bool watches_devices = false;
    // Completions that no peer has asked to be told of wait for the end of a Poll.
    bool solicited_only = false;
  };
  // `rails` is not owned and must outlive the loop.
  static absl::StatusOr<std::unique_ptr<VerbsLoop>> Make(
      std::span<const std::unique_ptr<VerbsDevice>> rails, const Options& options);
  ~VerbsLoop();

  ibv_cq* cq(size_t rail) const { return rails_[rail].cq.get(); }
  // Completions that its completion queues have room for, on each rail.
  size_t completions_max() const { return completions_max_; }

  // Stops and destroys the queue pairs, then runs `done`, in a Poll to come.
  void Submit(Task task) ABSL_LOCKS_EXCLUDED(mu_);
  // Waits at most `wait_max` for something to do and does it. Runs `completed` with each
  // completion.
  using Completed = absl::FunctionRef<void(const ibv_wc& completion)>;
  void Poll(std::chrono::milliseconds wait_max, Completed completed) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Rail {
    const VerbsDevice* device = nullptr;
    VerbsChannel channel;
    VerbsCq cq;
  };
  VerbsLoop() = default;
  absl::Status Start(std::span<const std::unique_ptr<VerbsDevice>> rails,
                     const Options& options);
  void Wait(std::chrono::milliseconds wait_max);
  void TakeEvents(Rail* rail);
  void Reap(Rail* rail, Completed completed);
  void LogDeviceEvents(const VerbsDevice& device);
  // Destroys what can be destroyed; true if nothing is left of the task.
  bool Run(Task* task);

  bool watches_devices_ = false;
  size_t completions_max_ = 0;
  bool solicited_only_ = false;
  std::vector<Rail> rails_;
  UniqueFd wake_;
  std::vector<Task> stuck_;  // of Poll: a destroy call failed, and is repeated
  absl::Mutex mu_;
  std::vector<Task> tasks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_LOOP_H_
