#include "base/memory_limit.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>

namespace kvasir {
namespace {

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return number;
}

// The number in the first line of a file; none for "max" or if there is no such file.
std::optional<uint64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return ParseNumber(line);
}

// Bytes of file pages in memory that nobody has touched lately.
uint64_t ReadInactiveFile(const std::string& path) {
  constexpr std::string_view kName = "inactive_file ";
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with(kName)) return ParseNumber(line.substr(kName.size())).value_or(0);
  }
  return 0;
}

// Takes one group's own limit into account.
void Narrow(const std::string& group, MemoryLimit* limit) {
  const std::optional<uint64_t> most = ReadNumber(group + "/memory.max");
  if (!most.has_value()) return;
  const uint64_t current = ReadNumber(group + "/memory.current").value_or(0);
  const uint64_t used = current - std::min(current, ReadInactiveFile(group + "/memory.stat"));
  limit->limit_bytes = std::min(limit->limit_bytes, *most);
  limit->free_bytes = std::min(limit->free_bytes, *most - std::min(*most, used));
}

// This process's group below the mount, such as "/system.slice/kvasird.service".
std::string GroupOfSelf(const std::string& path) {
  std::ifstream groups(path);
  std::string line;
  while (std::getline(groups, line)) {
    if (line.starts_with("0::/")) return line.substr(3);
  }
  return "/";
}

}  // namespace

MemoryLimit ReadMemoryLimit(const CgroupFiles& files) {
  MemoryLimit limit;
  // In a container's own namespace the mount itself is the group.
  Narrow(files.mount, &limit);
  for (std::string group = GroupOfSelf(files.self); group.size() > 1;
       group.resize(group.rfind('/'))) {
    Narrow(files.mount + group, &limit);
  }
  const uint64_t v1 =
      ReadNumber(files.mount + "/memory/memory.limit_in_bytes").value_or(UINT64_MAX);
  limit.limit_bytes = std::min(limit.limit_bytes, v1);
  limit.free_bytes = std::min(limit.free_bytes, v1);
  return limit;
}

}  // namespace kvasir
