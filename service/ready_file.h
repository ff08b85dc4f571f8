#ifndef KVASIR_SERVICE_READY_FILE_H_
#define KVASIR_SERVICE_READY_FILE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace kvasir {

// The file that tells scripts that a server is ready, and where. It is there exactly as
// long as the server serves: what an earlier run left is removed at the start, and a
// reader never sees half of it. An empty path is no file.
class ReadyFile {
 public:
  explicit ReadyFile(std::string path);  // Removes what is there.
  ~ReadyFile();
  ReadyFile(const ReadyFile&) = delete;
  ReadyFile& operator=(const ReadyFile&) = delete;

  // Writes beside it and renames. The error of the system call, with the path.
  absl::Status Write(std::string_view text);
  void Remove();

 private:
  const std::string path_;
};

}  // namespace kvasir

#endif  // KVASIR_SERVICE_READY_FILE_H_
