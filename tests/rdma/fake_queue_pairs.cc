#include "tests/rdma/fake_queue_pairs.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace kvasir {
namespace {

FakeQueuePairs* g_queue_pairs = nullptr;

}  // namespace

FakeQueuePairs::FakeQueuePairs() {
  KV_CHECK(g_queue_pairs == nullptr);
  g_queue_pairs = this;
}

FakeQueuePairs::~FakeQueuePairs() { g_queue_pairs = nullptr; }

VerbsQp FakeQueuePairs::Make() {
  alive_.push_back(std::make_unique<ibv_qp>());
  alive_.back()->state = IBV_QPS_RTS;
  return VerbsQp(alive_.back().get());
}

int FakeQueuePairs::Modify(ibv_qp* qp, const ibv_qp_attr& attributes) {
  qp->state = attributes.qp_state;
  return 0;
}

int FakeQueuePairs::Destroy(ibv_qp* qp) {
  ++destroys_;
  if (destroy_error_ != 0) return destroy_error_;
  if (qp->state != IBV_QPS_ERR) ++destroyed_running_;
  const size_t erased = std::erase_if(
      alive_, [qp](const std::unique_ptr<ibv_qp>& one) { return one.get() == qp; });
  KV_CHECK(erased == 1);
  return 0;
}

}  // namespace kvasir

extern "C" {

int ibv_modify_qp(ibv_qp* qp, ibv_qp_attr* attributes, int mask) {
  KV_CHECK(kvasir::g_queue_pairs != nullptr && mask == IBV_QP_STATE);
  return kvasir::g_queue_pairs->Modify(qp, *attributes);
}

int ibv_destroy_qp(ibv_qp* qp) {
  KV_CHECK(kvasir::g_queue_pairs != nullptr);
  return kvasir::g_queue_pairs->Destroy(qp);
}

}  // extern "C"
