// The real server over its disk: what a restart keeps, and what it must not bring back.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "client/client.h"
#include "tests/integration/raw_session.h"
#include "tests/storage/described_bytes.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

using testing::HasSubstr;

constexpr std::chrono::milliseconds kPatience{30'000};
constexpr size_t kBatch = 8;
constexpr size_t kBlocks = 160;
// Of 64 MiB: with so many not on disk yet, none has to go unsaved.
constexpr size_t kUnsavedMax = 40;

class RestartTest : public ::testing::Test {
 protected:
  RestartTest() { std::filesystem::remove_all(data_dir_); }
  ~RestartTest() override { std::filesystem::remove_all(data_dir_); }

  void StartServer() {
    server_.reset();
    auto started = ServerProcess::Start({.flags = Flags()});
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    auto client = Client::Connect({.nodes = {server_->listen()}, .timeout = kPatience});
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }
  std::vector<std::string> Flags() const {
    return {"--data_dir=" + data_dir_, "--disk=1GiB"};
  }
  void Stop(int signal) {
    client_.reset();
    server_->Signal(signal);
    EXPECT_TRUE(server_->WaitForExit().ok());
  }

  std::vector<absl::Status> Put(const std::vector<std::string>& keys, uint64_t version,
                                const PutOptions& options) {
    std::vector<std::vector<std::byte>> payloads;
    std::vector<std::span<const std::byte>> slices(keys.size());
    std::vector<PutItem> items;
    for (size_t i = 0; i < keys.size(); ++i) {
      payloads.emplace_back(kMiB);
      DescribedBytes(keys[i], version).Fill(payloads.back());
      slices[i] = payloads.back();
      items.push_back({.key = keys[i], .payload = {&slices[i], 1}, .attributes = "a"});
    }
    return client_->Put(items, options);
  }
  void MustPut(const std::vector<std::string>& keys, uint64_t version,
               const PutOptions& options) {
    for (const absl::Status& status : Put(keys, version, options)) {
      ASSERT_TRUE(status.ok()) << status;
    }
  }
  // How many of the keys are hits with the bytes of `version`.
  size_t Hits(const std::vector<std::string>& keys, uint64_t version) {
    std::vector<std::vector<std::byte>> bytes(keys.size(), std::vector<std::byte>(kMiB));
    std::vector<std::span<std::byte>> slices(bytes.begin(), bytes.end());
    std::vector<GetItem> items;
    for (size_t i = 0; i < keys.size(); ++i) {
      items.push_back({.key = keys[i], .into = {&slices[i], 1}});
    }
    const std::vector<absl::Status> statuses = client_->Get(items, {});
    size_t hits = 0;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (!statuses[i].ok()) continue;
      ++hits;
      EXPECT_TRUE(DescribedBytes(keys[i], version).Match(bytes[i])) << keys[i];
    }
    return hits;
  }
  static std::vector<std::string> BatchOfKeys(size_t batch) {
    std::vector<std::string> keys;
    for (size_t i = 0; i < kBatch; ++i) {
      keys.push_back("key" + std::to_string(batch * kBatch + i));
    }
    return keys;
  }
  // More than memory holds, no faster than the disk takes it.
  void Fill() {
    for (size_t batch = 0; batch < kBlocks / kBatch; ++batch) {
      MustPut(BatchOfKeys(batch), 1, {});
      const size_t put = (batch + 1) * kBatch;
      while (put > kUnsavedMax && Metric("tier_blocks") < put - kUnsavedMax) {
      }
    }
  }
  double Metric(const std::string& name) {
    const auto stats = client_->Stats({});
    EXPECT_TRUE(stats.ok()) << stats.status();
    return stats.ok() ? stats->front().at(name) : kBlocks;
  }
  void ExpectAllHits() {
    for (size_t batch = 0; batch < kBlocks / kBatch; ++batch) {
      EXPECT_EQ(Hits(BatchOfKeys(batch), 1), kBatch)
          << "batch " << batch << ", promotions refused "
          << Metric("refused_promotions_total") << ", failed "
          << Metric("failed_promotions_total") << ", read misses "
          << Metric("read_misses_total") << ", on disk " << Metric("tier_blocks");
    }
  }

  const std::string data_dir_ = ::testing::TempDir() + "kvasir_restart";
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(RestartTest, EverythingIsAHitAfterACleanStop) {
  StartServer();
  Fill();
  ExpectAllHits();
  Stop(SIGTERM);
  StartServer();
  EXPECT_GE(Metric("tier_recovered_blocks"), kBlocks);
  ExpectAllHits();
  EXPECT_EQ(Metric("tier_corrupt_blocks_total"), 0);
}

TEST_F(RestartTest, KillLosesNoDurablePutAndBringsBackNothingThatWasRemoved) {
  StartServer();
  const std::vector<std::string> kept = BatchOfKeys(0), removed = BatchOfKeys(1),
                                 replaced = BatchOfKeys(2);
  MustPut(kept, 1, {.durability = Durability::kProcess});
  MustPut(removed, 1, {.durability = Durability::kPower});
  MustPut(replaced, 1, {.durability = Durability::kPower});
  const std::vector<std::string_view> views(removed.begin(), removed.end());
  for (const absl::Status& status : client_->Remove(views, {})) {
    EXPECT_TRUE(status.ok()) << status;
  }
  MustPut(replaced, 2, {.replace = true});
  Stop(SIGKILL);
  StartServer();
  EXPECT_EQ(Hits(kept, 1), kBatch);
  EXPECT_EQ(Hits(removed, 1), 0);
  Hits(replaced, 2);  // A miss, or the newer one.
}

TEST_F(RestartTest, ClearLeavesNothingThatAKillBringsBack) {
  StartServer();
  for (size_t batch = 0; batch < 4; ++batch) {
    MustPut(BatchOfKeys(batch), 1, {.durability = Durability::kPower});
  }
  RawStubs stubs(server_->listen());
  v1::RemoveKeysRequest first;
  for (const std::string& key : BatchOfKeys(0)) first.add_keys()->set_text(key);
  v1::RemoveKeysResponse removed;
  ASSERT_TRUE(stubs.admin->RemoveKeys(NewContext().get(), first, &removed).ok());
  EXPECT_THAT(removed.outcomes(), testing::Each(v1::KEY_OUTCOME_OK));
  v1::ClearRequest everything;
  everything.set_all(true);
  v1::ClearResponse cleared;
  const grpc::Status status =
      stubs.admin->Clear(NewContext().get(), everything, &cleared);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(cleared.removed_count(), 3 * kBatch);
  Stop(SIGKILL);
  StartServer();
  for (size_t batch = 0; batch < 4; ++batch) EXPECT_EQ(Hits(BatchOfKeys(batch), 1), 0);
}

TEST_F(RestartTest, DurablePutOfAStoredBlockSurvivesAKill) {
  StartServer();
  const std::vector<std::string> keys = BatchOfKeys(0);
  MustPut(keys, 1, {});
  for (const absl::Status& status :
       Put(keys, 1, {.durability = Durability::kProcess})) {
    EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  }
  Stop(SIGKILL);
  StartServer();
  EXPECT_EQ(Hits(keys, 1), kBatch);
}

TEST_F(RestartTest, SecondServerOnOneDirectoryFailsAndSaysWhy) {
  StartServer();
  const auto second = ServerProcess::Start({.flags = Flags()});
  ASSERT_EQ(second.status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(second.status().ToString(), HasSubstr(data_dir_));
}

TEST_F(RestartTest, DirectoryThatIsNotOursIsRefused) {
  std::filesystem::create_directories(data_dir_ + "/somebodys");
  const auto run = RunServer(Flags());
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->exit_code, 1);
  EXPECT_THAT(run->output, HasSubstr(data_dir_));
}

}  // namespace
}  // namespace kvasir
