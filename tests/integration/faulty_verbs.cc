// libfaulty_verbs.so, for LD_PRELOAD: a libibverbs whose queue pairs do not go away. The
// program above it is the real one, which cannot tell.
//
//   FAULTY_VERBS_STUCK=FILE  ibv_destroy_qp does not return while another has flock()ed FILE
//   FAULTY_VERBS_DEAF=1      a queue pair that is to stop, or to be destroyed, lives on,
//                            while the caller is told that it was done
#include <dlfcn.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>

namespace {

template <typename Function>
Function* Real(const char* name) {
  void* const found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) std::abort();
  return reinterpret_cast<Function*>(found);
}

bool Deaf() { return std::getenv("FAULTY_VERBS_DEAF") != nullptr; }

void AwaitUnlocked(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || flock(fd, LOCK_SH) != 0) std::abort();
  close(fd);
}

}  // namespace

extern "C" {

int ibv_modify_qp(ibv_qp* qp, ibv_qp_attr* attributes, int mask) {
  if (Deaf() && (mask & IBV_QP_STATE) != 0 && attributes->qp_state == IBV_QPS_ERR) return 0;
  return Real<decltype(ibv_modify_qp)>("ibv_modify_qp")(qp, attributes, mask);
}

int ibv_destroy_qp(ibv_qp* qp) {
  if (Deaf()) return 0;
  const char* const path = std::getenv("FAULTY_VERBS_STUCK");
  if (path != nullptr) AwaitUnlocked(path);
  return Real<decltype(ibv_destroy_qp)>("ibv_destroy_qp")(qp);
}

}  // extern "C"
