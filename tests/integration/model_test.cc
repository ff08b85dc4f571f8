// The whole stack against a map: random batches through the SDK, a real kvasird with room
// for everything, and after each the answers that the map gives. A failure names the
// seed and the step.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "client/client.h"
#include "tests/storage/described_bytes.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

constexpr size_t kKeys = 60;
constexpr size_t kBatchMax = 12;
constexpr size_t kBlockBytesMax = 96 * kKiB;
constexpr int kSteps = 300;

struct Value {
  uint64_t generation = 0;
  size_t size_bytes = 0;
  std::string attributes;
};

class Model {
 public:
  Model(Client* client, uint64_t seed) : client_(client), dice_(seed) {
    // Bytes of every kind, and prefixes of each other, so that List has something to do.
    for (size_t i = 0; i < kKeys; ++i) {
      std::string key = "k" + std::string(i % 7, static_cast<char>(i * 37));
      keys_.push_back(key + std::to_string(i));
    }
    pool_.resize(kBatchMax * kBlockBytesMax);
    registered_ = *client_->Register(std::as_writable_bytes(std::span(pool_)));
  }

  void Step() {
    const uint64_t draw = Draw(0, 99);
    if (draw < 35) return Put();
    if (draw < 55) return GetIntoSlices();
    if (draw < 70) return GetIntoSink();
    if (draw < 80) return Lookup();
    if (draw < 88) return Remove();
    if (draw < 94) return List();
    PinAndUnpin();
  }

  size_t size() const { return stored_.size(); }

 private:
  uint64_t Draw(uint64_t low, uint64_t high) {
    return std::uniform_int_distribution<uint64_t>(low, high)(dice_);
  }
  std::vector<std::string_view> DrawKeys() {
    std::set<std::string_view> chosen;
    const size_t wanted = Draw(1, kBatchMax);
    while (chosen.size() < wanted) chosen.insert(keys_[Draw(0, kKeys - 1)]);
    std::vector<std::string_view> keys(chosen.begin(), chosen.end());
    std::shuffle(keys.begin(), keys.end(), dice_);
    return keys;
  }
  size_t DrawSize() { return Draw(1, Draw(0, 3) == 0 ? kBlockBytesMax - 1 : 4 * kKiB); }
  // Registered memory half of the time, other memory else.
  std::span<std::byte> Buffer(size_t index, size_t size_bytes) {
    if (index == 0) {
      own_.assign(kBatchMax, {});
      use_pool_ = Draw(0, 1) == 0;
    }
    if (use_pool_)
      return registered_->bytes().subspan(index * kBlockBytesMax, size_bytes);
    own_[index].resize(size_bytes);
    return own_[index];
  }
  const Value* Find(std::string_view key) const {
    const auto it = stored_.find(key);
    return it == stored_.end() ? nullptr : &it->second;
  }
  void Check(std::string_view key, std::span<const std::byte> bytes) {
    EXPECT_TRUE(DescribedBytes(key, Find(key)->generation).Match(bytes));
  }

  void Put();
  void GetIntoSlices();
  void GetIntoSink();
  void Lookup();
  void Remove();
  void List();
  void PinAndUnpin();

  Client* const client_;
  std::mt19937_64 dice_;
  std::vector<std::string> keys_;
  std::string pool_;
  std::unique_ptr<MemoryHandle> registered_;
  std::vector<std::vector<std::byte>> own_;
  bool use_pool_ = false;
  uint64_t last_generation_ = 0;
  std::map<std::string, Value, std::less<>> stored_;
};

void Model::Put() {
  const std::vector<std::string_view> keys = DrawKeys();
  const PutOptions options{.replace = Draw(0, 1) == 0};
  std::vector<Value> values;
  std::vector<std::vector<std::span<const std::byte>>> payloads;
  for (size_t i = 0; i < keys.size(); ++i) {
    values.push_back({++last_generation_, DrawSize(), std::string(Draw(0, 8), 'a')});
    const std::span<std::byte> bytes = Buffer(i, values[i].size_bytes);
    DescribedBytes(keys[i], values[i].generation).Fill(bytes);
    const size_t cut = Draw(0, bytes.size());
    payloads.push_back({bytes.subspan(0, cut), bytes.subspan(cut)});
  }
  std::vector<PutItem> items;
  for (size_t i = 0; i < keys.size(); ++i) {
    items.push_back({keys[i], payloads[i], values[i].attributes});
  }
  const std::vector<absl::Status> statuses = client_->Put(items, options);
  for (size_t i = 0; i < keys.size(); ++i) {
    const bool taken = Find(keys[i]) != nullptr && !options.replace;
    EXPECT_EQ(statuses[i].code(),
              taken ? absl::StatusCode::kAlreadyExists : absl::StatusCode::kOk)
        << statuses[i];
    if (!taken) stored_.insert_or_assign(std::string(keys[i]), values[i]);
  }
}

void Model::GetIntoSlices() {
  const std::vector<std::string_view> keys = DrawKeys();
  std::vector<std::vector<std::span<std::byte>>> slices;
  std::vector<GetItem> items;
  std::vector<bool> right_size;
  for (size_t i = 0; i < keys.size(); ++i) {
    const Value* const value = Find(keys[i]);
    right_size.push_back(value != nullptr && Draw(0, 9) > 0);
    const size_t stored = value == nullptr ? DrawSize() : value->size_bytes;
    const size_t size = right_size[i] ? stored : stored + 1;
    const std::span<std::byte> bytes = Buffer(i, size);
    const size_t cut = Draw(0, size);
    slices.push_back({bytes.subspan(0, cut), bytes.subspan(cut)});
  }
  for (size_t i = 0; i < keys.size(); ++i) items.push_back({keys[i], slices[i]});
  const std::vector<absl::Status> statuses = client_->Get(items, {});
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(statuses[i].code(),
              right_size[i] ? absl::StatusCode::kOk : absl::StatusCode::kNotFound)
        << statuses[i];
    if (!right_size[i] || !statuses[i].ok()) continue;
    // The two slices lie side by side.
    Check(keys[i], {slices[i][0].data(), Find(keys[i])->size_bytes});
  }
}

void Model::GetIntoSink() {
  class Buffers final : public Sink {
   public:
    void Place(std::span<Landing> landings) override {
      for (Landing& landing : landings) {
        Block& block = blocks[landing.index];
        block.attributes = landing.attributes;
        block.bytes.resize(landing.size_bytes);
        landing.local = block.bytes;
      }
    }
    struct Block {
      std::string attributes;
      std::vector<std::byte> bytes;
    };
    std::map<size_t, Block> blocks;
  } sink;
  const std::vector<std::string_view> keys = DrawKeys();
  const std::vector<absl::Status> statuses = client_->Get(keys, sink, {});
  for (size_t i = 0; i < keys.size(); ++i) {
    const Value* const value = Find(keys[i]);
    ASSERT_EQ(statuses[i].ok(), value != nullptr) << statuses[i];
    if (value == nullptr) {
      EXPECT_EQ(sink.blocks.count(i), 0u);
      continue;
    }
    EXPECT_EQ(sink.blocks.at(i).bytes.size(), value->size_bytes);
    EXPECT_EQ(sink.blocks.at(i).attributes, value->attributes);
    Check(keys[i], sink.blocks.at(i).bytes);
  }
}

void Model::Lookup() {
  const std::vector<std::string_view> keys = DrawKeys();
  const LookupResult found = client_->Lookup(keys, {});
  size_t prefix = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(found.present[i], Find(keys[i]) != nullptr);
    if (prefix == i && Find(keys[i]) != nullptr) ++prefix;
  }
  EXPECT_EQ(found.prefix_count, prefix);
  EXPECT_EQ(client_->Exists(keys[0], {}), Find(keys[0]) != nullptr);
}

void Model::Remove() {
  const std::vector<std::string_view> keys = DrawKeys();
  const std::vector<absl::Status> statuses = client_->Remove(keys, {});
  for (size_t i = 0; i < keys.size(); ++i) {
    const bool stored = stored_.erase(std::string(keys[i])) > 0;
    EXPECT_EQ(statuses[i].code(),
              stored ? absl::StatusCode::kOk : absl::StatusCode::kNotFound);
  }
}

void Model::List() {
  const std::string& key = keys_[Draw(0, kKeys - 1)];
  const std::string prefix = key.substr(0, Draw(0, key.size()));
  const size_t limit = Draw(1, 2 * kKeys);
  std::vector<std::string> expected;
  for (auto it = stored_.lower_bound(prefix);
       it != stored_.end() && it->first.starts_with(prefix) && expected.size() < limit;
       ++it) {
    expected.push_back(it->first);
  }
  const auto listed = client_->List(prefix, limit, {});
  ASSERT_TRUE(listed.ok()) << listed.status();
  EXPECT_EQ(*listed, expected);
}

void Model::PinAndUnpin() {
  const std::vector<std::string_view> keys = DrawKeys();
  const std::vector<absl::Status> statuses =
      client_->Pin(keys, "owner", std::chrono::seconds(60), {});
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(statuses[i].ok(), Find(keys[i]) != nullptr) << statuses[i];
  }
  if (Draw(0, 1) == 0) {
    EXPECT_EQ(client_->Unpin("owner", {}), absl::OkStatus());
  }
}

class ModelTest : public ::testing::TestWithParam<TransportChoice> {};

INSTANTIATE_TEST_SUITE_P(Transports, ModelTest,
                         ::testing::Values(TransportChoice::kShm, TransportChoice::kTcp),
                         [](const auto& info) {
                           return info.param == TransportChoice::kShm ? "Shm" : "Tcp";
                         });

TEST_P(ModelTest, RandomBatchesAnswerAsAMapDoes) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    // Pins and leases may hold replaced blocks: room for several times the keys.
    auto server = ServerProcess::Start({.flags = {"--memory=256MiB"}});
    ASSERT_TRUE(server.ok()) << server.status();
    ClientOptions options;
    options.nodes = {(*server)->listen()};
    options.transport = GetParam();
    options.timeout = std::chrono::seconds(30);
    const auto client = Client::Connect(options);
    ASSERT_TRUE(client.ok()) << client.status();
    Model model(client->get(), seed);
    for (int step = 0; step < kSteps && !HasFailure(); ++step) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", step " + std::to_string(step));
      model.Step();
    }
    const auto stats = (*client)->Stats({});
    ASSERT_TRUE(stats.ok()) << stats.status();
    EXPECT_EQ(stats->at(0).at("blocks"), static_cast<double>(model.size()));
    EXPECT_EQ((*client)->counters().misses_checksum, 0u);
  }
}

}  // namespace
}  // namespace kvasir
