#include "client/staging_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "tests/client/fake_node.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

class StagingPoolTest : public ::testing::Test {
 protected:
  Instant Now() const { return node_.clock.Now(); }
  Instant Later() const { return Now() + std::chrono::minutes(1); }

  FakeNode node_;
  const std::unique_ptr<ClientTransport> transport_ = node_.MakeTransport();
  StagingPool pool_{{.buffers_max = 2, .buffer_bytes = 8192}, transport_.get(), &node_.clock};
};

TEST_F(StagingPoolTest, BuffersAreRegisteredWhenFirstNeededAndThenKept) {
  EXPECT_EQ(node_.registered.size(), 0u);
  const std::byte* first = nullptr;
  {
    const auto buffer = pool_.Take(100, Later());
    ASSERT_TRUE(buffer.ok()) << buffer.status();
    EXPECT_EQ(buffer->bytes().size(), 8192u);
    EXPECT_TRUE(node_.IsRegistered(buffer->bytes()));
    first = buffer->bytes().data();
  }
  EXPECT_EQ(pool_.Take(1, Later())->bytes().data(), first);
  EXPECT_EQ(node_.registered.size(), 1u);
}

TEST_F(StagingPoolTest, ABufferGoesBackWhenItDies) {
  auto one = pool_.Take(1, Later());
  std::optional<StagingPool::Buffer> moved(*std::move(one));
  EXPECT_EQ(pool_.in_use(), 1u);
  moved.reset();
  EXPECT_EQ(pool_.in_use(), 0u);
}

TEST_F(StagingPoolTest, AWaitEndsAtTheDeadlineAndTakesNothing) {
  const auto one = pool_.Take(1, Later());
  const auto two = pool_.Take(1, Later());
  EXPECT_EQ(pool_.Take(1, Now()).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(pool_.in_use(), 2u);
}

TEST_F(StagingPoolTest, AWaitEndsWhenABufferComesBack) {
  auto one = pool_.Take(1, Later());
  std::optional<StagingPool::Buffer> two(*pool_.Take(1, Later()));
  std::thread other([&] { EXPECT_TRUE(pool_.Take(1, Later()).ok()); });
  two.reset();
  other.join();
}

// Sixteen puts that were too large took all sixteen buffers for good, elsewhere.
TEST_F(StagingPoolTest, TooLargeIsRefusedWithoutTakingABuffer) {
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(pool_.Take(8193, Later()).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(pool_.in_use(), 0u);
  EXPECT_TRUE(pool_.Take(8192, Later()).ok());
}

class RefusingTransport final : public ClientTransport {
 public:
  TransportKind kind() const override { return TransportKind::kRdma; }
  absl::StatusOr<std::unique_ptr<MemoryRegion>> Register(std::span<std::byte>) override {
    return absl::ResourceExhaustedError("memory lock limit");
  }
  absl::StatusOr<std::unique_ptr<Lane>> Connect(Rendezvous, Instant) override {
    return absl::UnimplementedError("");
  }
};

TEST(StagingPool, MemoryThatCannotBeRegisteredLeaksNoBuffer) {
  RefusingTransport transport;
  ManualClock clock;
  StagingPool pool({.buffers_max = 1, .buffer_bytes = 4096}, &transport, &clock);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(pool.Take(1, clock.Now()).status().code(), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(pool.in_use(), 0u);
}

}  // namespace
}  // namespace kvasir
