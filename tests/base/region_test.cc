#include "base/region.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <numa.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/limits.h"

namespace kvasir {
namespace {

std::unique_ptr<Region> MapRegion(uint64_t size_bytes) {
  return *Region::Map({.id = RegionId(7), .size_bytes = size_bytes});
}

TEST(RegionTest, ItIsZeroWritableAndRoundedUpToPages) {
  const auto region = MapRegion(kMiB + 1);
  EXPECT_EQ(region->id(), RegionId(7));
  EXPECT_GT(region->bytes().size(), kMiB);
  EXPECT_EQ(region->bytes().size() % 4096, 0u);
  EXPECT_FALSE(region->page_kind().empty());
  for (std::byte& byte : region->bytes()) {
    ASSERT_EQ(byte, std::byte{0});
    byte = std::byte{1};
  }
}

TEST(RegionTest, NobodyElseMayMapItWritable) {
  const auto region = MapRegion(kMiB);
  errno = 0;
  EXPECT_EQ(mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, region->memfd(), 0),
            MAP_FAILED);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(pwrite(region->memfd(), "x", 1, 0), -1);
}

TEST(RegionTest, AReaderSeesWritesAndCannotBecomeAWriter) {
  const auto region = MapRegion(kMiB);
  void* const seen = mmap(nullptr, kMiB, PROT_READ, MAP_SHARED, region->memfd(), 0);
  ASSERT_NE(seen, MAP_FAILED);
  for (const uint64_t at : {uint64_t{0}, uint64_t{4096}, kMiB - 1}) {
    region->bytes()[at] = std::byte{0x5a};
    EXPECT_EQ(static_cast<const std::byte*>(seen)[at], std::byte{0x5a}) << at;
  }
  EXPECT_EQ(mprotect(seen, kMiB, PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(errno, EACCES);
  munmap(seen, kMiB);
}

TEST(RegionTest, ItsSizeAndItsSealsAreFixed) {
  const auto region = MapRegion(kMiB);
  for (const uint64_t size : {uint64_t{0}, kMiB / 2, 64 * kMiB}) {
    errno = 0;
    EXPECT_EQ(ftruncate(region->memfd(), static_cast<off_t>(size)), -1) << size;
    EXPECT_EQ(errno, EPERM) << size;
  }
  EXPECT_EQ(fcntl(region->memfd(), F_ADD_SEALS, F_SEAL_WRITE), -1);
}

TEST(RegionTest, SizeZeroIsRefused) {
  EXPECT_EQ(Region::Map({.size_bytes = 0}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(RegionTest, MoreThanTheMachineHasIsRefusedWithBothNumbers) {
  for (const uint64_t size : {uint64_t{1} << 60, UINT64_MAX}) {
    const absl::Status status = Region::Map({.size_bytes = size}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  }
  const std::string message(Region::Map({.size_bytes = uint64_t{1} << 60}).status().message());
  EXPECT_NE(message.find("1048576 TiB asked for"), std::string::npos) << message;
  EXPECT_NE(message.find("iB available"), std::string::npos) << message;
}

TEST(RegionTest, ANumaNodeThatIsNotThereIsRefused) {
  const absl::Status status =
      Region::Map({.size_bytes = kMiB, .numa_node = 4096}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find("4096"), std::string::npos) << status;
}

TEST(RegionTest, ANumaNodeThatIsThereIsTaken) {
  if (numa_available() < 0) GTEST_SKIP() << "no NUMA here";
  EXPECT_EQ(Region::Map({.size_bytes = kMiB, .numa_node = numa_max_node()}).status(),
            absl::OkStatus());
}

TEST(RegionTest, ProgressIsToldMoreThanOnceAndUpToTheTotal) {
  std::vector<uint64_t> told;
  uint64_t total_bytes = 0;
  auto record = [&](uint64_t done, uint64_t total) {
    told.push_back(done);
    total_bytes = total;
  };
  absl::FunctionRef<void(uint64_t, uint64_t)> progress = record;
  const auto region = Region::Map({.size_bytes = 257 * kMiB, .progress = &progress});
  ASSERT_TRUE(region.ok()) << region.status();
  ASSERT_GE(told.size(), 2u);
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_EQ(told.back(), (*region)->bytes().size());
  EXPECT_EQ(total_bytes, (*region)->bytes().size());
}

TEST(RegionTest, ASliceIsTheBytesOfItsExtent) {
  const auto region = MapRegion(kMiB);
  const uint64_t size = region->bytes().size();
  const std::span<std::byte> slice = region->Slice({RegionId(7), 4096, 100});
  EXPECT_EQ(slice.data(), region->bytes().data() + 4096);
  EXPECT_EQ(slice.size(), 100u);
  EXPECT_EQ(region->Slice({RegionId(7), 0, size}).size(), size);
  EXPECT_EQ(region->Slice({RegionId(7), size, 0}).size(), 0u);
}

TEST(RegionDeathTest, ASliceOutsideTheRegionEndsTheProcess) {
  const auto region = MapRegion(kMiB);
  const uint64_t size = region->bytes().size();
  EXPECT_DEATH(region->Slice({RegionId(8), 0, 1}), "check failed");
  EXPECT_DEATH(region->Slice({RegionId(7), size, 1}), "check failed");
  EXPECT_DEATH(region->Slice({RegionId(7), size + 1, 0}), "check failed");
  EXPECT_DEATH(region->Slice({RegionId(7), 1, UINT64_MAX}), "check failed");
}

}  // namespace
}  // namespace kvasir
