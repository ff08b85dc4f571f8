#ifndef KVASIR_RDMA_VERBS_HANDLES_H_
#define KVASIR_RDMA_VERBS_HANDLES_H_

#include <infiniband/verbs.h>

#include <memory>

namespace kvasir {

// Owners of what libibverbs makes. Each must die before what it was made from. What a
// destroy call reports is lost here: where it matters, release and call it by hand.
struct VerbsDeleter {
  void operator()(ibv_context* context) const { (void)ibv_close_device(context); }
  void operator()(ibv_pd* pd) const { (void)ibv_dealloc_pd(pd); }
  void operator()(ibv_mr* mr) const { (void)ibv_dereg_mr(mr); }
  void operator()(ibv_comp_channel* channel) const {
    (void)ibv_destroy_comp_channel(channel);
  }
  void operator()(ibv_cq* cq) const { (void)ibv_destroy_cq(cq); }
  void operator()(ibv_qp* qp) const { (void)ibv_destroy_qp(qp); }
};

using VerbsContext = std::unique_ptr<ibv_context, VerbsDeleter>;
using VerbsDomain = std::unique_ptr<ibv_pd, VerbsDeleter>;
using VerbsMr = std::unique_ptr<ibv_mr, VerbsDeleter>;
using VerbsChannel = std::unique_ptr<ibv_comp_channel, VerbsDeleter>;
using VerbsCq = std::unique_ptr<ibv_cq, VerbsDeleter>;
using VerbsQp = std::unique_ptr<ibv_qp, VerbsDeleter>;

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_HANDLES_H_
