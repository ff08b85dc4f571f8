// Readers and writers over every transport at once, in a memory that holds a quarter of
// what they store: every hit must be one whole block of its key.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/limits.h"
#include "client/client.h"
#include "tests/storage/described_bytes.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

constexpr size_t kKeys = 400;
constexpr size_t kBatch = 4;
constexpr int kWriterBatches = 250;
constexpr int kReaderBatches = 500;
constexpr size_t kBlockBytesMax = 256 * kKiB;

// The generation travels in the attributes, so that bytes and attributes of different
// blocks would not match either.
class Storm {
 public:
  void Write(Client* client, uint64_t seed);
  void Read(Client* client, uint64_t seed);

  std::atomic<uint64_t> hits{0}, puts{0}, mismatches{0}, odd_statuses{0};

 private:
  std::string KeyNear(std::mt19937_64* dice) const {
    // Of what was written last, so that readers meet blocks before they are evicted.
    const uint64_t newest = next_key_.load();
    return std::to_string((newest + kKeys - (*dice)() % 100) % kKeys);
  }

  std::atomic<uint64_t> next_key_{0};
  std::atomic<uint64_t> next_generation_{1};
};

void Storm::Write(Client* client, uint64_t seed) {
  std::mt19937_64 dice(seed);
  std::vector<std::byte> bytes(kBlockBytesMax);
  for (int batch = 0; batch < kWriterBatches; ++batch) {
    for (size_t i = 0; i < kBatch; ++i) {
      const std::string key = std::to_string(next_key_.fetch_add(1) % kKeys);
      const uint64_t generation = next_generation_.fetch_add(1);
      const std::string attributes = std::to_string(generation);
      const std::span<std::byte> whole(bytes.data(), 1 + dice() % kBlockBytesMax);
      DescribedBytes(key, generation).Fill(whole);
      const std::span<const std::byte> slice = whole;
      const PutItem item{key, std::span(&slice, 1), attributes};
      const absl::Status status =
          client->Put(std::span(&item, 1), {.replace = dice() % 2 == 0})[0];
      if (status.ok()) {
        ++puts;
      } else if (!absl::IsAlreadyExists(status) && !absl::IsAborted(status) &&
                 !absl::IsResourceExhausted(status)) {
        ++odd_statuses;
      }
    }
  }
}

void Storm::Read(Client* client, uint64_t seed) {
  class Buffers final : public Sink {
   public:
    void Place(std::span<Landing> landings) override {
      for (Landing& landing : landings) {
        Block& block = blocks[landing.index];
        block.generation = std::stoull(std::string(landing.attributes));
        block.bytes.resize(landing.size_bytes);
        landing.local = block.bytes;
      }
    }
    struct Block {
      uint64_t generation = 0;
      std::vector<std::byte> bytes;
    };
    std::map<size_t, Block> blocks;
  };
  std::mt19937_64 dice(seed);
  for (int batch = 0; batch < kReaderBatches; ++batch) {
    std::vector<std::string> names;
    for (size_t i = 0; i < kBatch; ++i) names.push_back(KeyNear(&dice));
    const std::vector<std::string_view> keys(names.begin(), names.end());
    Buffers sink;
    const std::vector<absl::Status> statuses = client->Get(keys, sink, {});
    for (size_t i = 0; i < kBatch; ++i) {
      if (absl::IsNotFound(statuses[i])) continue;
      if (!statuses[i].ok()) {
        ++odd_statuses;
        continue;
      }
      ++hits;
      const Buffers::Block& block = sink.blocks.at(i);
      if (!DescribedBytes(keys[i], block.generation).Match(block.bytes)) ++mismatches;
    }
  }
}

TEST(EvictionStorm, EveryHitIsOneWholeBlock) {
  auto server = ServerProcess::Start({.flags = {"--memory=12MiB"}});
  ASSERT_TRUE(server.ok()) << server.status();
  std::vector<std::unique_ptr<Client>> clients;
  for (const TransportChoice transport : {TransportChoice::kShm, TransportChoice::kTcp}) {
    ClientOptions options;
    options.nodes = {(*server)->listen()};
    options.transport = transport;
    options.timeout = std::chrono::seconds(30);
    auto client = Client::Connect(options);
    ASSERT_TRUE(client.ok()) << client.status();
    clients.push_back(*std::move(client));
  }
  Storm storm;
  std::vector<std::thread> threads;
  uint64_t seed = 0;
  for (const std::unique_ptr<Client>& client : clients) {
    threads.emplace_back([&, n = ++seed] { storm.Write(client.get(), n); });
    threads.emplace_back([&, n = ++seed] { storm.Read(client.get(), n); });
    threads.emplace_back([&, n = ++seed] { storm.Read(client.get(), n); });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(storm.mismatches, 0u);
  EXPECT_EQ(storm.odd_statuses, 0u);
  EXPECT_GT(storm.hits, 100u);
  EXPECT_GT(storm.puts, 500u);
  const auto stats = clients[0]->Stats({});
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_GT(stats->at(0).at("evicted_blocks_total"), 100);
  for (const std::unique_ptr<Client>& client : clients) {
    // No lease was broken: nothing even had to be caught by its checksum.
    EXPECT_EQ(client->counters().misses_checksum, 0u);
  }
}

}  // namespace
}  // namespace kvasir
