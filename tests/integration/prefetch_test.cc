// The real server over its disk: a lookup that prefetches, and the get that follows.

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "client/client.h"
#include "client/connector/connector.h"
#include "tests/client/connector/connector_support.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

constexpr std::chrono::milliseconds kPatience{30'000};
constexpr size_t kBlocks = 8;

// Each test finds its blocks on disk only.
class PrefetchTest : public ::testing::Test {
 protected:
  PrefetchTest() {
    std::filesystem::remove_all(data_dir_);
    for (size_t i = 0; i < kBlocks; ++i) keys_.push_back("key" + std::to_string(i));
    views_.assign(keys_.begin(), keys_.end());
  }
  ~PrefetchTest() override { std::filesystem::remove_all(data_dir_); }

  void SetUp() override {
    Start();
    for (const std::string& key : keys_) {
      const OwnedPut put(key, BytesOf(key));
      ASSERT_TRUE(connector_->Put(put.item()).ok());
    }
    connector_.reset();
    server_->Signal(SIGTERM);
    ASSERT_TRUE(server_->WaitForExit().ok());
    Start();
  }
  void Start() {
    server_.reset();
    auto started =
        ServerProcess::Start({.flags = {"--data_dir=" + data_dir_, "--disk=1GiB"}});
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    auto client = Client::Connect({.nodes = {server_->listen()}, .timeout = kPatience});
    ASSERT_TRUE(client.ok()) << client.status();
    connector_ = std::make_unique<Connector>(
        *std::move(client), ConnectorOptions{.lookup_timeout = kPatience,
                                             .get_timeout = kPatience,
                                             .put_timeout = kPatience});
  }
  Client& client() { return connector_->client(); }
  static std::string BytesOf(const std::string& key) {
    return std::string(kMiB - key.size(), 'b') + key;
  }
  double Metric(const std::string& name) {
    const auto stats = client().Stats({});
    EXPECT_TRUE(stats.ok()) << stats.status();
    return stats.ok() ? stats->front().at(name) : kBlocks;
  }
  void AwaitPromotions() {
    while (Metric("promoted_blocks_total") < kBlocks) {
    }
  }
  // The disk was read for the lookup, once a block, and not for the get.
  void ExpectReadOnce() {
    EXPECT_EQ(Metric("promoted_blocks_total"), kBlocks);
    EXPECT_EQ(Metric("read_misses_total"), 0);
  }

  const std::string data_dir_ = ::testing::TempDir() + "kvasir_prefetch";
  std::vector<std::string> keys_;
  std::vector<std::string_view> views_;
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<Connector> connector_;
  CountingAllocator allocator_;
};

TEST_F(PrefetchTest, GetAfterALookupThatPromotesRunsFromMemory) {
  const LookupResult found = client().Lookup(views_, {.promote = true});
  EXPECT_EQ(found.prefix_count, kBlocks);
  EXPECT_EQ(std::ranges::count(found.on_disk, true), kBlocks);
  AwaitPromotions();
  EXPECT_EQ(std::ranges::count(client().Lookup(views_, {}).on_disk, true), 0);
  for (const std::string& key : keys_) {
    std::string bytes(kMiB, '.');
    const std::span<std::byte> slice = std::as_writable_bytes(std::span(bytes));
    const GetItem item{key, std::span(&slice, 1)};
    EXPECT_TRUE(client().Get(std::span(&item, 1), {}).front().ok());
    EXPECT_TRUE(bytes == BytesOf(key)) << key;
  }
  ExpectReadOnce();
}

TEST_F(PrefetchTest, ConnectorsPinnedLookupPrefetchesForItsGet) {
  ASSERT_EQ(connector_->BatchedAsyncContains({"request", true}, views_), kBlocks);
  AwaitPromotions();
  const auto objects = connector_->BatchedGetNonBlocking("request", views_, allocator_);
  ASSERT_EQ(objects.size(), kBlocks);
  for (size_t i = 0; i < kBlocks; ++i) {
    EXPECT_TRUE(TextOf(objects[i].bytes) == BytesOf(keys_[i])) << i;
  }
  ExpectReadOnce();
}

TEST_F(PrefetchTest, GetThatComesBeforeThePrefetchHasLandedSharesItsRead) {
  ASSERT_EQ(connector_->BatchedAsyncContains({"request", true}, views_), kBlocks);
  const auto objects = connector_->BatchedGetNonBlocking("request", views_, allocator_);
  EXPECT_EQ(objects.size(), kBlocks);
  EXPECT_EQ(Metric("promoted_blocks_total"), kBlocks);
}

}  // namespace
}  // namespace kvasir
