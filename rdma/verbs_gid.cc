#include "rdma/verbs_gid.h"

#include <arpa/inet.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace kvasir {
namespace {

std::string_view KindName(VerbsGidKind kind) {
  switch (kind) {
    case VerbsGidKind::kInfiniBand: return "InfiniBand";
    case VerbsGidKind::kRoceV1: return "RoCE v1";
    case VerbsGidKind::kRoceV2: return "RoCE v2";
  }
  return "unknown";
}

bool IsMappedIpv4(const VerbsGid& gid) {  // RFC 4291, section 2.5.5.2
  return std::all_of(gid.begin(), gid.begin() + 10,
                     [](std::byte byte) { return byte == std::byte{0}; }) &&
         gid[10] == std::byte{0xff} && gid[11] == std::byte{0xff};
}

bool IsLinkLocal(const VerbsGid& gid) {  // RFC 4291, section 2.5.6
  return gid[0] == std::byte{0xfe} && (gid[1] & std::byte{0xc0}) == std::byte{0x80};
}

// Larger is better; 0 is unfit.
int Fitness(const VerbsGidEntry& entry) {
  if (entry.kind != VerbsGidKind::kRoceV2) return 0;
  if (IsMappedIpv4(entry.gid)) return 3;
  return IsLinkLocal(entry.gid) ? 1 : 2;
}

std::string Describe(std::span<const VerbsGidEntry> entries) {
  if (entries.empty()) return "none";
  std::string text;
  for (const VerbsGidEntry& entry : entries) {
    text += fmt::format("{}{}: {} {}", text.empty() ? "" : ", ", entry.index,
                        KindName(entry.kind), FormatGid(entry.gid));
  }
  return text;
}

}  // namespace

absl::StatusOr<VerbsGidEntry> ChooseGid(std::span<const VerbsGidEntry> entries,
                                        std::optional<uint32_t> wanted) {
  const VerbsGidEntry* best = nullptr;
  for (const VerbsGidEntry& entry : entries) {
    if (wanted.has_value() && entry.index != *wanted) continue;
    if (Fitness(entry) > (best == nullptr ? 0 : Fitness(*best))) best = &entry;
  }
  if (best != nullptr) return *best;
  const std::string what = wanted.has_value() ? fmt::format("GID {}", *wanted) : "a GID";
  return absl::FailedPreconditionError(
      fmt::format("has not {} of RoCE v2; its GIDs are {}", what, Describe(entries)));
}

std::string FormatGid(const VerbsGid& gid) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (IsMappedIpv4(gid)) {
    inet_ntop(AF_INET, &gid[12], text.data(), text.size());
  } else {
    inet_ntop(AF_INET6, gid.data(), text.data(), text.size());
  }
  return text.data();
}

}  // namespace kvasir
