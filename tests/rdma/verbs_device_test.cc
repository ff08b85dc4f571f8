// Which device is chosen, and what is said when there is none. What needs a device is
// skipped where there is none.
#include "rdma/verbs_device.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "rdma/verbs_options.h"

namespace kvasir {
namespace {

bool Says(const absl::Status& status, std::string_view text) {
  return status.ToString().find(text) != std::string::npos;
}

bool HasDevices() { return OpenVerbsRails({}).ok(); }

TEST(ParseVerbsDevices, TakesOneToFourDifferentNames) {
  EXPECT_EQ(*ParseVerbsDevices(""), std::vector<std::string>{});
  EXPECT_EQ(*ParseVerbsDevices("mlx5_0"), std::vector<std::string>{"mlx5_0"});
  EXPECT_EQ(*ParseVerbsDevices("a,b,c,d"), (std::vector<std::string>{"a", "b", "c", "d"}));
  for (const std::string_view bad : {",", "a,", ",a", "a,,b", "a,a", "a,b,c,d,e"}) {
    EXPECT_EQ(ParseVerbsDevices(bad).status().code(), absl::StatusCode::kInvalidArgument)
        << bad;
  }
}

TEST(VerbsDevice, AHostWithoutDevicesSaysSo) {
  if (HasDevices()) GTEST_SKIP() << "this host has RDMA devices";
  const absl::Status none = OpenVerbsRails({}).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Says(none, "no RDMA device")) << none;
  const absl::Status named = OpenVerbsRails({.devices = {"mlx5_0"}}).status();
  EXPECT_EQ(named.code(), absl::StatusCode::kFailedPrecondition);
}

TEST(VerbsDevice, ADeviceThatIsNotThereIsNamedWithThoseThatAre) {
  if (!HasDevices()) GTEST_SKIP() << "no RDMA device";
  const std::string there = (*OpenVerbsRails({}))[0]->name();
  const absl::Status status = OpenVerbsRails({.devices = {there, "nosuch0"}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Says(status, "nosuch0")) << status;
  EXPECT_TRUE(Says(status, there)) << status;
}

TEST(VerbsDevice, WhatADeviceCannotDoNamesIt) {
  if (!HasDevices()) GTEST_SKIP() << "no RDMA device";
  const std::string name = (*OpenVerbsRails({}))[0]->name();
  for (const VerbsDeviceOptions& bad :
       {VerbsDeviceOptions{.devices = {name}, .port = 200},
        VerbsDeviceOptions{.devices = {name}, .gid_index = 200},
        VerbsDeviceOptions{.devices = {name}, .mtu_bytes_max = 100},
        VerbsDeviceOptions{.devices = {name}, .mtu_bytes_max = 3000}}) {
    const absl::Status status = OpenVerbsRails(bad).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_TRUE(Says(status, name)) << status;
  }
}

TEST(VerbsDevice, ItsAddressIsThatOfItsPort) {
  if (!HasDevices()) GTEST_SKIP() << "no RDMA device";
  const auto rails = OpenVerbsRails({.mtu_bytes_max = 1024});
  ASSERT_TRUE(rails.ok()) << rails.status();
  const VerbsDevice& device = *(*rails)[0];
  EXPECT_EQ(device.port(), 1);
  EXPECT_EQ(device.address().mtu_bytes, 1024u);
  EXPECT_TRUE(device.address().lid != 0 || device.address().gid != VerbsGid{});
  EXPECT_NE(device.description().find(device.name()), std::string::npos);
}

TEST(VerbsDevice, MemoryThatIsNoneIsNotRegistered) {
  if (!HasDevices()) GTEST_SKIP() << "no RDMA device";
  const auto rails = OpenVerbsRails({});
  ASSERT_TRUE(rails.ok()) << rails.status();
  const std::span<std::byte> nowhere(reinterpret_cast<std::byte*>(0x1000), 4096);
  const absl::Status status = (*rails)[0]->Register(nowhere, IBV_ACCESS_LOCAL_WRITE).status();
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(Says(status, (*rails)[0]->name())) << status;
}

}  // namespace
}  // namespace kvasir
