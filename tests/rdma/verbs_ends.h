#ifndef KVASIR_TESTS_RDMA_VERBS_ENDS_H_
#define KVASIR_TESTS_RDMA_VERBS_ENDS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "rdma/verbs_options.h"

namespace kvasir {

// Which devices the two ends of a test use. tools/softroce tells by SOFTROCE_LEFT (the
// server's) and SOFTROCE_RIGHT (the client's), names with commas; elsewhere both use the
// first device there is. Empty: this host has no device, and tests are skipped.
struct VerbsEnds {
  std::vector<std::string> left;
  std::vector<std::string> right;

  static VerbsEnds Find();
  bool empty() const { return left.empty(); }
  size_t rails() const { return left.size(); }
  // The first `rails` devices of an end, with packets of at most so many bytes.
  VerbsDeviceOptions Left(size_t rails = 1, uint32_t mtu_bytes = 4096) const;
  VerbsDeviceOptions Right(size_t rails = 1, uint32_t mtu_bytes = 4096) const;
};

// What the kernel holds for every device: lines such as "0: rxe0: pd 1 cq 2 qp 3 cm_id 0 mr 4
// ctx 5", of iproute2's rdma(8).
std::string KernelObjects();

}  // namespace kvasir

#endif  // KVASIR_TESTS_RDMA_VERBS_ENDS_H_
