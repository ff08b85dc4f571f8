#include "rdma/shm_mapping.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "base/limits.h"
#include "base/region.h"
#include "rdma/shm_region_cache.h"
#include "tests/support/manual_clock.h"

namespace kvasir {
namespace {

std::unique_ptr<Region> NewRegion(uint64_t size_bytes) {
  auto region = Region::Map({.id = RegionId{1}, .size_bytes = size_bytes});
  EXPECT_TRUE(region.ok()) << region.status();
  return *std::move(region);
}

TEST(ShmMapping, ShowsWhatTheServerWrites) {
  const std::unique_ptr<Region> region = NewRegion(64 * kKiB);
  const auto mapping = ShmMapping::Map(region->memfd(), {.size_bytes = 64 * kKiB});
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  region->bytes()[4097] = std::byte{42};
  EXPECT_EQ(mapping->bytes()[4097], std::byte{42});
}

TEST(ShmMapping, RefusesMemoryThatCouldShrinkOrIsTooShort) {
  const UniqueFd loose(memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(loose.get(), 64 * kKiB), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      ShmMapping::Map(loose.get(), {.size_bytes = 64 * kKiB}).status()));
  ASSERT_EQ(fcntl(loose.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
  EXPECT_TRUE(ShmMapping::Map(loose.get(), {.size_bytes = 64 * kKiB}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      ShmMapping::Map(loose.get(), {.size_bytes = 64 * kKiB + 1}).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      ShmMapping::Map(loose.get(), {.size_bytes = 0}).status()));
  const UniqueFd file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      ShmMapping::Map(file.get(), {.size_bytes = 4 * kKiB}).status()));
}

// What a client holds after the handshake, and everything it could try with it.
TEST(ShmMapping, NoHolderOfARegionsDescriptorCanWriteIt) {
  const std::unique_ptr<Region> region = NewRegion(64 * kKiB);
  std::memset(region->bytes().data(), 7, region->bytes().size());
  const UniqueFd received(fcntl(region->memfd(), F_DUPFD_CLOEXEC, 0));
  const std::string by_path = fmt::format("/proc/self/fd/{}", received.get());
  const UniqueFd reopened(open(by_path.c_str(), O_RDWR | O_CLOEXEC));
  for (const int fd : {received.get(), reopened.get()}) {
    if (fd < 0) continue;  // Not even opened: as good.
    EXPECT_EQ(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(pwrite(fd, "x", 1, 0), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(ftruncate(fd, 0), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
  }
  const auto mapping = ShmMapping::Map(received.get(), {.size_bytes = 64 * kKiB});
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  void* const address = const_cast<std::byte*>(mapping->bytes().data());
  EXPECT_EQ(mprotect(address, 4096, PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(errno, EACCES);
  for (const std::byte byte : region->bytes()) ASSERT_EQ(byte, std::byte{7});
}

TEST(ShmMapping, NeitherEndCanChangeTheSizeOfARing) {
  const auto ring = CreateShmRing(64 * kKiB);
  ASSERT_TRUE(ring.ok()) << ring.status();
  EXPECT_EQ(ftruncate(ring->get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(ring->get(), 128 * kKiB), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(fcntl(ring->get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST(ShmMapping, BothEndsOfARingShareItsBytes) {
  const auto ring = CreateShmRing(64 * kKiB);
  ASSERT_TRUE(ring.ok()) << ring.status();
  const auto writer = ShmMapping::Map(
      ring->get(), {.size_bytes = 64 * kKiB, .mode = ShmMapping::Mode::kReadWrite});
  const auto reader = ShmMapping::Map(ring->get(), {.size_bytes = 64 * kKiB});
  ASSERT_TRUE(writer.ok() && reader.ok());
  writer->writable_bytes()[9] = std::byte{5};
  EXPECT_EQ(reader->bytes()[9], std::byte{5});
}

class ShmRegionCacheTest : public testing::Test {
 protected:
  const std::unique_ptr<Region> region_ = NewRegion(256 * kKiB);
  const ShmRegionCache::RegionName name_{RandomShmNonce(), RegionId{1}};
  ShmRegionCache cache_;
};

TEST_F(ShmRegionCacheTest, MapsARegionOnceForAllThatUseIt) {
  auto first = cache_.Acquire(name_, region_->memfd(), 256 * kKiB);
  auto second = cache_.Acquire(name_, region_->memfd(), 256 * kKiB);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(first->fresh());
  EXPECT_FALSE(second->fresh());
  EXPECT_EQ(first->bytes().data(), second->bytes().data());
  EXPECT_EQ(first->region(), RegionId{1});
  EXPECT_EQ(cache_.mapped_regions(), 1u);
}

TEST_F(ShmRegionCacheTest, UnmapsWithTheLastReference) {
  auto first = cache_.Acquire(name_, region_->memfd(), 256 * kKiB);
  auto second = cache_.Acquire(name_, region_->memfd(), 256 * kKiB);
  ASSERT_TRUE(first.ok() && second.ok());
  { const ShmRegionCache::Ref gone = *std::move(first); }
  EXPECT_EQ(cache_.mapped_regions(), 1u);
  { const ShmRegionCache::Ref gone = *std::move(second); }
  EXPECT_EQ(cache_.mapped_regions(), 0u);
}

TEST_F(ShmRegionCacheTest, KeepsTheSameRegionNumberOfTwoServersApart) {
  const std::unique_ptr<Region> other = NewRegion(256 * kKiB);
  auto first = cache_.Acquire(name_, region_->memfd(), 256 * kKiB);
  auto second =
      cache_.Acquire({RandomShmNonce(), RegionId{1}}, other->memfd(), 256 * kKiB);
  ASSERT_TRUE(first.ok() && second.ok());
  other->bytes()[0] = std::byte{1};
  EXPECT_EQ(first->bytes()[0], std::byte{0});
  EXPECT_EQ(second->bytes()[0], std::byte{1});
}

TEST_F(ShmRegionCacheTest, RefusesAnotherSizeForAMappedRegion) {
  const auto first = cache_.Acquire(name_, region_->memfd(), 256 * kKiB);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      cache_.Acquire(name_, region_->memfd(), 128 * kKiB).status()));
}

TEST_F(ShmRegionCacheTest, PopulatesAllThereIsTimeForAndNoMore) {
  ManualClock clock;
  const auto mapping = cache_.Acquire(name_, region_->memfd(), 256 * kKiB);
  ASSERT_TRUE(mapping.ok());
  EXPECT_EQ(PopulateShmPages(mapping->bytes(), &clock, clock.Now()), 0u);
  EXPECT_EQ(PopulateShmPages(mapping->bytes(), &clock,
                             clock.Now() + std::chrono::milliseconds(1)),
            256 * kKiB);
}

}  // namespace
}  // namespace kvasir
