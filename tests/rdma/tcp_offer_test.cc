#include "rdma/tcp_offer.h"

#include <string>

#include "base/limits.h"
#include "gtest/gtest.h"

namespace kvasir {
namespace {

TEST(TcpOffer, SurvivesTheRoundTrip) {
  TcpOffer offer{.address = {"::1", 7450}};
  offer.nonce[3] = std::byte{0};
  offer.nonce[15] = std::byte{0xff};
  const auto decoded = DecodeTcpOffer(EncodeTcpOffer(offer));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->nonce, offer.nonce);
  EXPECT_EQ(decoded->address, offer.address);
}

TEST(TcpOffer, EveryTruncationIsRefused) {
  const std::string text = EncodeTcpOffer({.address = {"h", 7}});
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(DecodeTcpOffer(text.substr(0, size)).status().code(),
              absl::StatusCode::kInvalidArgument)
        << size;
  }
}

TEST(TcpOffer, AnotherVersionOrAHugeOneIsRefused) {
  std::string text = EncodeTcpOffer({.address = {"h", 7}});
  ++text[17];
  EXPECT_FALSE(DecodeTcpOffer(text).ok());
  EXPECT_FALSE(DecodeTcpOffer(EncodeTcpOffer({.address = {"h", 7}}) +
                              std::string(kMaxEndpointBytes, '7'))
                   .ok());
}

TEST(TcpHello, IsTakenAndAnythingElseIsNot) {
  EXPECT_TRUE(CheckTcpHello(EncodeTcpHello()).ok());
  EXPECT_EQ(CheckTcpHello(EncodeTcpHello() + "!").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckTcpHello("").code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace kvasir
