#include "tests/rdma/verbs_ends.h"

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "absl/status/statusor.h"
#include "base/check.h"
#include "rdma/verbs_device.h"

namespace kvasir {
namespace {

std::vector<std::string> FromEnvironment(const char* name) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return {};
  absl::StatusOr<std::vector<std::string>> devices = ParseVerbsDevices(text);
  return devices.ok() ? *devices : std::vector<std::string>{};
}

VerbsDeviceOptions First(const std::vector<std::string>& devices, size_t rails,
                         uint32_t mtu_bytes) {
  VerbsDeviceOptions options{.devices = devices, .mtu_bytes_max = mtu_bytes};
  options.devices.resize(rails);
  return options;
}

}  // namespace

VerbsEnds VerbsEnds::Find() {
  VerbsEnds ends{.left = FromEnvironment("SOFTROCE_LEFT"),
                 .right = FromEnvironment("SOFTROCE_RIGHT")};
  if (!ends.left.empty() && ends.left.size() == ends.right.size()) return ends;
  const auto rails = OpenVerbsRails({});
  if (!rails.ok()) return {};
  return {.left = {(*rails)[0]->name()}, .right = {(*rails)[0]->name()}};
}

VerbsDeviceOptions VerbsEnds::Left(size_t rails, uint32_t mtu_bytes) const {
  return First(left, rails, mtu_bytes);
}

VerbsDeviceOptions VerbsEnds::Right(size_t rails, uint32_t mtu_bytes) const {
  return First(right, rails, mtu_bytes);
}

std::string KernelObjects() {
  FILE* const pipe = popen("rdma resource show", "r");
  KV_CHECK(pipe != nullptr);
  std::string text;
  char line[256];
  while (std::fgets(line, sizeof(line), pipe) != nullptr) text += line;
  pclose(pipe);
  return text;
}

}  // namespace kvasir
