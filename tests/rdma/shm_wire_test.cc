#include "rdma/shm_wire.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace kvasir {
namespace {

ShmNonce NonceOf(int first) {
  ShmNonce nonce{};
  nonce[0] = static_cast<std::byte>(first);
  return nonce;
}

TEST(ShmWire, HelloAndOfferSurviveTheTrip) {
  EXPECT_EQ(DecodeShmHello(EncodeShm(ShmHello{"a-boot-id"}))->boot_id, "a-boot-id");
  const ShmOffer offer{.nonce = NonceOf(7), .socket_path = "/run/x.sock"};
  const auto back = DecodeShmOffer(EncodeShm(offer));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->nonce, offer.nonce);
  EXPECT_EQ(back->socket_path, offer.socket_path);
}

TEST(ShmWire, WelcomeSurvivesTheTrip) {
  ShmWelcome welcome{.server = NonceOf(9), .ring_bytes = 8 * kMiB, .regions = {}};
  welcome.regions = {{RegionId{0}, 4096}, {RegionId{3}, 1 * kGiB}};
  const auto back = DecodeShmWelcome(EncodeShm(welcome));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->server, welcome.server);
  EXPECT_EQ(back->ring_bytes, 8 * kMiB);
  ASSERT_EQ(back->regions.size(), 2u);
  EXPECT_EQ(back->regions[1].id, RegionId{3});
  EXPECT_EQ(back->regions[1].size_bytes, 1 * kGiB);
}

TEST(ShmWire, AWelcomeWithTheMostRegionsFitsIntoAPacket) {
  ShmWelcome welcome;
  welcome.regions.resize(kShmRegionsMax);
  const std::string packet = EncodeShm(welcome);
  EXPECT_LE(packet.size(), kShmPacketBytesMax);
  EXPECT_TRUE(DecodeShmWelcome(packet).ok());
  welcome.regions.resize(kShmRegionsMax + 1);
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeShmWelcome(EncodeShm(welcome)).status()));
}

TEST(ShmWire, ARefusalArrivesAsItsStatus) {
  const ShmRefuse refuse{.code = absl::StatusCode::kFailedPrecondition,
                         .reason = "not you"};
  EXPECT_EQ(DecodeShmWelcome(EncodeShm(refuse)).status(),
            absl::FailedPreconditionError("not you"));
}

TEST(ShmWire, PutAndAckSurviveTheTrip) {
  const ShmPut put{.sequence = 1ull << 40,
                   .block_bytes = 4,
                   .block_offset_bytes = 5,
                   .ring_offset_bytes = 6,
                   .length_bytes = 7,
                   .sealed = "a token"};
  const std::string packet = EncodeShm(put);
  const auto back = DecodeShmPut(packet);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->sequence, put.sequence);
  EXPECT_EQ(back->block_bytes, 4u);
  EXPECT_EQ(back->block_offset_bytes, 5u);
  EXPECT_EQ(back->ring_offset_bytes, 6u);
  EXPECT_EQ(back->length_bytes, 7u);
  EXPECT_EQ(back->sealed, "a token");

  const auto ack = DecodeShmAck(
      EncodeShm(ShmAck{.sequence = 3, .code = absl::StatusCode::kPermissionDenied}));
  ASSERT_TRUE(ack.ok()) << ack.status();
  EXPECT_EQ(ack->sequence, 3u);
  EXPECT_EQ(ack->code, absl::StatusCode::kPermissionDenied);
}

TEST(ShmWire, ACodeThatIsNoneReadsAsUnknown) {
  const ShmAck ack{.sequence = 1, .code = static_cast<absl::StatusCode>(99)};
  EXPECT_EQ(DecodeShmAck(EncodeShm(ack))->code, absl::StatusCode::kUnknown);
}

TEST(ShmWire, AMessageOfOneKindIsNoneOfAnother) {
  const std::string ack = EncodeShm(ShmAck{.sequence = 1});
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeShmPut(ack).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeShmGreet(ack).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeShmWelcome(ack).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeShmHello(ack).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeShmOffer(ack).status()));
}

TEST(ShmWire, TruncatedAndPaddedMessagesAreRefused) {
  ShmWelcome welcome;
  welcome.regions.resize(2);
  const std::string whole = EncodeShm(welcome);
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_FALSE(DecodeShmWelcome(whole.substr(0, bytes)).ok()) << bytes;
  }
  EXPECT_FALSE(DecodeShmWelcome(whole + "x").ok());
  const std::string greet = EncodeShm(ShmGreet{NonceOf(1)});
  for (size_t bytes = 0; bytes < greet.size(); ++bytes) {
    EXPECT_FALSE(DecodeShmGreet(greet.substr(0, bytes)).ok()) << bytes;
  }
  EXPECT_FALSE(DecodeShmGreet(greet + "x").ok());
}

TEST(ShmWire, AForeignMagicOrVersionIsRefused) {
  const std::string good = EncodeShm(ShmGreet{NonceOf(1)});
  for (size_t byte = 0; byte < 8; ++byte) {
    std::string bad = good;
    bad[byte] = static_cast<char>(bad[byte] + 1);
    EXPECT_TRUE(absl::IsInvalidArgument(DecodeShmGreet(bad).status())) << byte;
  }
}

TEST(ShmWire, NoncesDiffer) { EXPECT_NE(RandomShmNonce(), RandomShmNonce()); }

TEST(ShmWire, ThisHostHasABootId) { EXPECT_EQ(ReadBootId().size(), 36u); }

}  // namespace
}  // namespace kvasir
