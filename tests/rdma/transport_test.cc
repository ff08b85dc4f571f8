#include "rdma/transport.h"

#include "gtest/gtest.h"

namespace kvasir {
namespace {

TEST(Transport, NamesParseBack) {
  for (const TransportKind kind :
       {TransportKind::kRdma, TransportKind::kShm, TransportKind::kTcp}) {
    const absl::StatusOr<TransportKind> parsed = ParseTransport(TransportName(kind));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, kind);
  }
}

TEST(Transport, UnknownNameIsRefusedWithTheKnownOnes) {
  const absl::Status status = ParseTransport("udp").status();
  EXPECT_EQ(status, absl::InvalidArgumentError(
                        "parse transport: \"udp\" is not one of rdma, shm, tcp"));
}

}  // namespace
}  // namespace kvasir
