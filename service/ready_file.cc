#include "service/ready_file.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <utility>

#include "base/fd.h"

namespace kvasir {

ReadyFile::ReadyFile(std::string path) : path_(std::move(path)) { Remove(); }

ReadyFile::~ReadyFile() { Remove(); }

void ReadyFile::Remove() {
  if (!path_.empty()) unlink(path_.c_str());
}

absl::Status ReadyFile::Write(std::string_view text) {
  if (path_.empty()) return absl::OkStatus();
  // Of this process alone, so that two servers with one path do not mix their texts.
  const std::string beside = fmt::format("{}.{}.tmp", path_, getpid());
  std::ofstream file(beside, std::ios::binary | std::ios::trunc);
  file << text << '\n';
  file.close();
  if (!file || std::rename(beside.c_str(), path_.c_str()) != 0) {
    const absl::Status failed =
        ErrnoStatus(errno, fmt::format("ready_file: write {}", path_));
    unlink(beside.c_str());
    return failed;
  }
  return absl::OkStatus();
}

}  // namespace kvasir
