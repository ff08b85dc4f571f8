#include "base/memory_limit.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/limits.h"

namespace kvasir {
namespace {

// A control group hierarchy of files.
class MemoryLimitTest : public testing::Test {
 protected:
  MemoryLimitTest() { Write("self", "12:memory:/elsewhere\n0::/pods/one\n"); }
  ~MemoryLimitTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = root_ + "/" + name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  MemoryLimit Read() const {
    return ReadMemoryLimit({.mount = root_ + "/cgroup", .self = root_ + "/self"});
  }

  const std::string root_ = testing::TempDir() + "/memory_limit_test";
};

TEST_F(MemoryLimitTest, NothingThereLimitsNothing) {
  EXPECT_EQ(Read().limit_bytes, UINT64_MAX);
  EXPECT_EQ(Read().free_bytes, UINT64_MAX);
}

TEST_F(MemoryLimitTest, TheWordMaxIsNoLimit) {
  Write("cgroup/pods/one/memory.max", "max\n");
  Write("cgroup/pods/one/memory.current", "4096\n");
  EXPECT_EQ(Read().free_bytes, UINT64_MAX);
}

TEST_F(MemoryLimitTest, WhatIsInUseIsNotFreeButIdleFilePagesAre) {
  Write("cgroup/pods/one/memory.max", std::to_string(kGiB) + "\n");
  Write("cgroup/pods/one/memory.current", std::to_string(700 * kMiB) + "\n");
  Write("cgroup/pods/one/memory.stat",
        "anon 1\ninactive_file " + std::to_string(100 * kMiB) + "\nactive_file 3\n");
  EXPECT_EQ(Read().limit_bytes, kGiB);
  EXPECT_EQ(Read().free_bytes, kGiB - 600 * kMiB);
}

TEST_F(MemoryLimitTest, TheTightestGroupOnTheWayUpDecides) {
  Write("cgroup/pods/one/memory.max", std::to_string(4 * kGiB) + "\n");
  Write("cgroup/pods/memory.max", std::to_string(kGiB) + "\n");
  Write("cgroup/pods/memory.current", std::to_string(2 * kGiB) + "\n");
  EXPECT_EQ(Read().limit_bytes, kGiB);
  EXPECT_EQ(Read().free_bytes, 0u);
}

TEST_F(MemoryLimitTest, AContainersOwnRootIsItsGroup) {
  Write("self", "0::/\n");
  Write("cgroup/memory.max", std::to_string(kGiB) + "\n");
  EXPECT_EQ(Read().limit_bytes, kGiB);
}

TEST_F(MemoryLimitTest, TheOlderHierarchyIsHeard) {
  Write("cgroup/memory/memory.limit_in_bytes", std::to_string(kGiB) + "\n");
  EXPECT_EQ(Read().limit_bytes, kGiB);
}

TEST_F(MemoryLimitTest, RubbishIsNoLimit) {
  Write("cgroup/pods/one/memory.max", "lots\n");
  EXPECT_EQ(Read().limit_bytes, UINT64_MAX);
}

}  // namespace
}  // namespace kvasir
