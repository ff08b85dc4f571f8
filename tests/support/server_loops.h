#ifndef KVASIR_TESTS_SUPPORT_SERVER_LOOPS_H_
#define KVASIR_TESTS_SUPPORT_SERVER_LOOPS_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/executor.h"
#include "rdma/transport.h"

namespace kvasir {

// Runs every loop of a server transport, each in a thread of its own as a node does,
// until destroyed. A test may hold them still and then call Poll by itself.
class ServerLoops {
 public:
  explicit ServerLoops(ServerTransport* server);  // Not owned; must outlive this.
  ~ServerLoops();

  // Returns once no Poll is under way; none begins before Resume.
  void Pause();
  void Resume();
  // From now on a loop polls only while `stop` says false. `stop` is called from every
  // loop's thread. Resume takes it back.
  void PauseOnce(std::function<bool()> stop);

 private:
  struct Loop {
    size_t index = 0;
    absl::Mutex mu;  // held for the length of a Poll
    bool paused ABSL_GUARDED_BY(mu) = false;
    std::function<bool()> stop ABSL_GUARDED_BY(mu);
    std::unique_ptr<Ticker> ticker;
  };
  void Step(Loop* loop);

  ServerTransport* const server_;
  std::vector<std::unique_ptr<Loop>> loops_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_SERVER_LOOPS_H_
