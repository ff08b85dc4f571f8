#include "rdma/verbs_wire.h"

#include <string>
#include <vector>

#include "base/limits.h"
#include "gtest/gtest.h"

namespace kvasir {
namespace {

VerbsRail RailOf(uint32_t seed) {
  VerbsRail rail{.lid = static_cast<uint16_t>(seed),
                 .mtu_bytes = 1024,
                 .reads_max = 16,
                 .read_qp = seed + 1,
                 .write_qp = seed + 2,
                 .read_psn = seed + 3,
                 .write_psn = 0xffffff};
  rail.gid.fill(static_cast<std::byte>(seed));
  return rail;
}

VerbsRegion RegionOf(uint64_t size_bytes, uint64_t chunk_bytes, size_t rails) {
  VerbsRegion region{.id = RegionId{7},
                     .address = 0x7f00'0000'1000,
                     .size_bytes = size_bytes,
                     .chunk_bytes = chunk_bytes};
  for (uint32_t i = 0; i < rails * region.chunks(); ++i) {
    region.keys.push_back({.read = 2 * i, .write = 2 * i + 1});
  }
  return region;
}

VerbsOffer LargestOffer() {
  VerbsOffer offer{
      .session = {.high = 1, .low = 2}, .lane = LaneId{3}, .takes_messages = true};
  for (uint32_t i = 0; i < kVerbsRailsMax; ++i) offer.rails.push_back(RailOf(i));
  for (size_t i = 0; i < kVerbsRegionsMax; ++i) {
    offer.regions.push_back(RegionOf(kVerbsChunksMax * kGiB, kGiB, kVerbsRailsMax));
  }
  return offer;
}

TEST(VerbsWire, AHelloComesBack) {
  const VerbsHello hello{.rails = {RailOf(1), RailOf(2)}};
  const absl::StatusOr<VerbsHello> decoded = DecodeVerbsHello(EncodeVerbsHello(hello));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->rails, hello.rails);
}

TEST(VerbsWire, TheLargestOfferFitsAndComesBack) {
  const VerbsOffer offer = LargestOffer();
  const std::string bytes = EncodeVerbsOffer(offer);
  EXPECT_LE(bytes.size(), kMaxEndpointBytes);
  const absl::StatusOr<VerbsOffer> decoded = DecodeVerbsOffer(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->session, offer.session);
  EXPECT_EQ(decoded->lane, offer.lane);
  EXPECT_TRUE(decoded->takes_messages);
  EXPECT_EQ(decoded->rails, offer.rails);
  ASSERT_EQ(decoded->regions.size(), kVerbsRegionsMax);
  EXPECT_EQ(decoded->regions[1].id, RegionId{7});
  EXPECT_EQ(decoded->regions[1].address, offer.regions[1].address);
  EXPECT_EQ(decoded->regions[1].size_bytes, offer.regions[1].size_bytes);
  EXPECT_EQ(decoded->regions[1].keys, offer.regions[1].keys);
}

TEST(VerbsWire, CutAndLongMessagesAreRefused) {
  const std::string hello = EncodeVerbsHello({.rails = {RailOf(1)}});
  const std::string offer = EncodeVerbsOffer(LargestOffer());
  for (size_t size = 0; size < hello.size(); ++size) {
    EXPECT_FALSE(DecodeVerbsHello(hello.substr(0, size)).ok()) << size;
  }
  for (size_t size = 0; size < offer.size(); ++size) {
    EXPECT_FALSE(DecodeVerbsOffer(offer.substr(0, size)).ok()) << size;
  }
  EXPECT_EQ(DecodeVerbsHello(hello + "x").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DecodeVerbsOffer(offer + "x").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(DecodeVerbsOffer(hello).ok());
  EXPECT_FALSE(DecodeVerbsHello(offer).ok());
}

TEST(VerbsWire, RailsThatCannotBeAreRefused) {
  std::vector<VerbsRail> bad(6, RailOf(1));
  bad[0].mtu_bytes = 1000;
  bad[1].mtu_bytes = 8192;
  bad[2].reads_max = 0;
  bad[3].reads_max = 256;
  bad[4].read_qp = 1 << 24;
  bad[5].write_psn = 1 << 24;
  for (const VerbsRail& rail : bad) {
    EXPECT_FALSE(DecodeVerbsHello(EncodeVerbsHello({.rails = {rail}})).ok());
  }
}

TEST(VerbsWire, RegionsThatCannotBeAreRefused) {
  // What an encoder of ours cannot make: patched in at the region's size and chunk.
  VerbsOffer offer{.rails = {RailOf(1)}, .regions = {RegionOf(kMiB, kGiB, 1)}};
  const std::string good = EncodeVerbsOffer(offer);
  ASSERT_TRUE(DecodeVerbsOffer(good).ok());
  const size_t keys_bytes = 8;
  const auto patched = [&](size_t from_end, char value) {
    std::string bytes = good;
    bytes.replace(bytes.size() - keys_bytes - from_end, 8, std::string(8, value));
    return bytes;
  };
  EXPECT_FALSE(DecodeVerbsOffer(patched(8, '\0')).ok());    // chunks of nothing
  EXPECT_FALSE(DecodeVerbsOffer(patched(16, '\0')).ok());   // a region of nothing
  EXPECT_FALSE(DecodeVerbsOffer(patched(16, '\x70')).ok());  // too many chunks
  EXPECT_FALSE(DecodeVerbsOffer(patched(24, '\xff')).ok());  // beyond the last address
  EXPECT_TRUE(DecodeVerbsOffer(patched(8, '\xff')).ok());    // one chunk, larger than all
}

TEST(VerbsPlace, IsWithinItsChunk) {
  const std::vector<VerbsRegion> regions = {RegionOf(2 * kGiB + 100, kGiB, 1)};
  const auto place = [&](uint64_t offset) {
    return FindVerbsPlace(regions, RegionId{7}, offset);
  };
  EXPECT_EQ(place(0)->address, regions[0].address);
  EXPECT_EQ(place(0)->bytes_in_chunk, kGiB);
  EXPECT_EQ(place(kGiB - 1)->chunk, 0u);
  EXPECT_EQ(place(kGiB - 1)->bytes_in_chunk, 1u);
  EXPECT_EQ(place(kGiB)->chunk, 1u);
  EXPECT_EQ(place(2 * kGiB)->bytes_in_chunk, 100u);
  EXPECT_EQ(place(2 * kGiB + 99)->bytes_in_chunk, 1u);
  EXPECT_EQ(place(2 * kGiB + 100).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(FindVerbsPlace(regions, RegionId{8}, 0).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST(VerbsPlace, ChunksAreWholeGiBAndFew) {
  for (const uint64_t size : {kMiB, kGiB, 8 * kGiB, 8 * kGiB + 1, 1024 * kGiB}) {
    const uint64_t chunk = VerbsChunkBytes(size);
    EXPECT_EQ(chunk % kGiB, 0u);
    EXPECT_LE((size + chunk - 1) / chunk, kVerbsChunksMax) << size;
  }
  EXPECT_EQ(VerbsChunkBytes(8 * kGiB), kGiB);
  EXPECT_EQ(VerbsChunkBytes(8 * kGiB + 1), 2 * kGiB);
}

}  // namespace
}  // namespace kvasir
