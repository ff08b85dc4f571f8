#include "rdma/verbs_port_counters.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace kvasir {
namespace {

class VerbsPortCountersTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = folder_ / "nic0/ports/2" / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  VerbsPortCounters Read() const { return ReadVerbsPortCounters({"nic0", 2}, folder_.string()); }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) /
      ::testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(VerbsPortCountersTest, AStandardNicTellsBytesPacketsAndRequests) {
  Write("counters/port_rcv_data", "250\n");
  Write("counters/port_xmit_data", "4611686018427387000\n");
  Write("counters/port_rcv_packets", "11\n");
  Write("counters/port_xmit_packets", "12\n");
  Write("hw_counters/rx_read_requests", "13\n");
  Write("hw_counters/rx_write_requests", "14\n");
  const VerbsPortCounters counters = Read();
  EXPECT_EQ(counters.bytes_in, 1'000u);
  EXPECT_EQ(counters.bytes_out, 18'446'744'073'709'548'000u);
  EXPECT_EQ(counters.packets_in, 11u);
  EXPECT_EQ(counters.packets_out, 12u);
  EXPECT_EQ(counters.reads, 13u);
  EXPECT_EQ(counters.writes, 14u);
}

TEST_F(VerbsPortCountersTest, SoftRoceTellsPacketsAlone) {
  Write("hw_counters/rcvd_pkts", "21\n");
  Write("hw_counters/sent_pkts", "22\n");
  const VerbsPortCounters counters = Read();
  EXPECT_EQ(counters.packets_in, 21u);
  EXPECT_EQ(counters.packets_out, 22u);
  EXPECT_FALSE(counters.bytes_in.has_value() || counters.bytes_out.has_value());
  EXPECT_FALSE(counters.reads.has_value() || counters.writes.has_value());
}

TEST_F(VerbsPortCountersTest, WhatIsNoNumberIsNotThere) {
  Write("counters/port_rcv_data", "N/A (not supported)\n");
  EXPECT_FALSE(Read().bytes_in.has_value());
  EXPECT_FALSE(ReadVerbsPortCounters({"gone0", 1}, folder_.string()).packets_in.has_value());
}

}  // namespace
}  // namespace kvasir
