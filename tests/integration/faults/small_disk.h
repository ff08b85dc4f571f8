#ifndef KVASIR_TESTS_INTEGRATION_FAULTS_SMALL_DISK_H_
#define KVASIR_TESTS_INTEGRATION_FAULTS_SMALL_DISK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace kvasir {

// A file system of a few megabytes, for a test that fills it. It is a tmpfs in a mount
// namespace of the thread that made it: only this thread, and the threads and processes
// that it starts afterwards, see it, and it goes with the last of them.
//
// Threads: one.
class SmallDisk {
 public:
  // PermissionDenied where this process may not mount; Unimplemented where a tmpfs does
  // not take O_DIRECT, which the disk tier needs (Linux before 6.6).
  static absl::StatusOr<std::unique_ptr<SmallDisk>> Mount(const std::string& directory,
                                                          uint64_t size_bytes);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  const std::string& path() const { return path_; }
  // Writes a file, or goes on with it, until nothing fits on the disk any more.
  void Fill();
  // Takes it away.
  void Relieve();

 private:
  explicit SmallDisk(const std::string& path) : path_(path) {}
  absl::Status CheckDirectWrites() const;
  std::string ballast() const { return path_ + "/ballast"; }

  const std::string path_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_INTEGRATION_FAULTS_SMALL_DISK_H_
