#include "rdma/verbs_gid.h"

#include <vector>

#include "gtest/gtest.h"

namespace kvasir {
namespace {

VerbsGid Ipv4(uint8_t last) {
  VerbsGid gid{};
  gid[10] = gid[11] = std::byte{0xff};
  gid[12] = std::byte{10};
  gid[15] = std::byte{last};
  return gid;
}

VerbsGid Ipv6(uint8_t first, uint8_t second) {
  VerbsGid gid{};
  gid[0] = std::byte{first};
  gid[1] = std::byte{second};
  gid[15] = std::byte{1};
  return gid;
}

const std::vector<VerbsGidEntry> kTable = {
    {.index = 0, .kind = VerbsGidKind::kRoceV1, .gid = Ipv6(0xfe, 0x80)},
    {.index = 1, .kind = VerbsGidKind::kRoceV2, .gid = Ipv6(0xfe, 0x80)},
    {.index = 2, .kind = VerbsGidKind::kRoceV2, .gid = Ipv6(0x20, 0x01)},
    {.index = 3, .kind = VerbsGidKind::kRoceV1, .gid = Ipv4(1)},
    {.index = 4, .kind = VerbsGidKind::kRoceV2, .gid = Ipv4(1)},
    {.index = 5, .kind = VerbsGidKind::kRoceV2, .gid = Ipv4(2)},
};

TEST(VerbsGid, TheFirstIpv4OfRoceV2IsBest) {
  EXPECT_EQ(ChooseGid(kTable, std::nullopt)->index, 4u);
  EXPECT_EQ(ChooseGid(std::span(kTable).first(4), std::nullopt)->index, 2u);
  EXPECT_EQ(ChooseGid(std::span(kTable).first(2), std::nullopt)->index, 1u);
}

TEST(VerbsGid, AnyRowOfRoceV2CanBeAskedFor) {
  EXPECT_EQ(ChooseGid(kTable, 1)->index, 1u);
  EXPECT_EQ(ChooseGid(kTable, 5)->gid, Ipv4(2));
}

TEST(VerbsGid, WhatThereIsNotIsAnErrorWithWhatThereIs) {
  const absl::Status none = ChooseGid(std::span(kTable).first(1), std::nullopt).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(none.ToString().find("0: RoCE v1 fe80::1"), std::string::npos) << none;
  EXPECT_EQ(ChooseGid(kTable, 3).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ChooseGid(kTable, 9).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ChooseGid({}, std::nullopt).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(VerbsGid, IsPrintedAsTheAddressThatItIs) {
  EXPECT_EQ(FormatGid(Ipv4(7)), "10.0.0.7");
  EXPECT_EQ(FormatGid(Ipv6(0x20, 0x01)), "2001::1");
}

}  // namespace
}  // namespace kvasir
