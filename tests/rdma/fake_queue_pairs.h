#ifndef KVASIR_TESTS_RDMA_FAKE_QUEUE_PAIRS_H_
#define KVASIR_TESTS_RDMA_FAKE_QUEUE_PAIRS_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "rdma/verbs_handles.h"

namespace kvasir {

// Queue pairs for hosts without devices. A program that links this has ibv_modify_qp and
// ibv_destroy_qp from here and not from libibverbs; they know these queue pairs alone. One
// object at a time; not thread-safe.
class FakeQueuePairs {
 public:
  FakeQueuePairs();
  ~FakeQueuePairs();

  // A queue pair in RTS.
  VerbsQp Make();
  // Those that are not destroyed.
  size_t alive() const { return alive_.size(); }
  // Destroys that were asked for, those that failed too.
  size_t destroys() const { return destroys_; }
  // Of those destroyed, how many were not in ERR before.
  size_t destroyed_running() const { return destroyed_running_; }
  // From now on a destroy fails with `error`; 0: it succeeds.
  void FailDestroys(int error) { destroy_error_ = error; }

  // What libibverbs is asked for: 0 or an errno.
  int Modify(ibv_qp* qp, const ibv_qp_attr& attributes);
  int Destroy(ibv_qp* qp);

 private:
  std::vector<std::unique_ptr<ibv_qp>> alive_;
  size_t destroys_ = 0;
  size_t destroyed_running_ = 0;
  int destroy_error_ = 0;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_RDMA_FAKE_QUEUE_PAIRS_H_
