#ifndef KVASIR_TESTS_RDMA_SHM_DIRECTORY_H_
#define KVASIR_TESTS_RDMA_SHM_DIRECTORY_H_

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/check.h"

namespace kvasir {

// A place for a test's sockets, gone when the object is. Bazel's own test directories
// are too deep for the name of a socket.
class ShmTestDirectory {
 public:
  ShmTestDirectory() {
    char name[] = "/tmp/kvasir-test-XXXXXX";
    KV_CHECK(mkdtemp(name) != nullptr);
    base_ = name;
    // Others may pass through, as through /tmp; `path` itself is the server's to make.
    std::filesystem::permissions(base_, std::filesystem::perms(0711));
  }
  ~ShmTestDirectory() {
    std::error_code ignored;  // Leaving litter in /tmp fails no test.
    std::filesystem::remove_all(base_, ignored);
  }
  ShmTestDirectory(const ShmTestDirectory&) = delete;
  ShmTestDirectory& operator=(const ShmTestDirectory&) = delete;

  // Does not exist yet; its parent does.
  std::string path() const { return base_ + "/sockets"; }
  std::string parent() const { return base_; }

 private:
  std::string base_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_RDMA_SHM_DIRECTORY_H_
