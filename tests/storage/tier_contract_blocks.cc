// What goes in comes out: bytes, generations, removal, order.

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "tests/storage/tier_contract.h"

namespace kvasir {

TEST_P(TierContract, WhatIsStoredIsFoundAndLoadedAtEverySize) {
  const std::vector<size_t> sizes = {1, 7, 4095, 4096, 4097, 65536, 1 << 20, 8 << 20};
  TierBatch batch;
  for (size_t size : sizes) batch.Add(absl::StrCat("size-", size), size, size);
  ASSERT_TRUE(Store(batch).ok());
  for (size_t size : sizes) {
    const std::string key = absl::StrCat("size-", size);
    const std::optional<TierBlock> found = tier()->Find(key);
    ASSERT_TRUE(found.has_value()) << key;
    EXPECT_EQ(found->info.size_bytes, size);
    EXPECT_EQ(found->generation, size);
    EXPECT_EQ(LoadDescribed(tier(), key, *found), absl::OkStatus()) << key;
  }
}

TEST_P(TierContract, ALoadOfManyAnswersEachByItself) {
  constexpr size_t kBlocks = 100;
  constexpr size_t kSize = 10'000;
  TierBatch batch;
  for (size_t i = 0; i < kBlocks; ++i) batch.Add(absl::StrCat("k", i), 1, kSize);
  ASSERT_TRUE(Store(batch).ok());
  std::vector<std::string> keys;
  std::vector<std::byte> bytes(2 * kBlocks * kSize);
  std::vector<Tier::Read> reads;
  for (size_t i = 0; i < 2 * kBlocks; ++i) {
    keys.push_back(absl::StrCat(i % 2 == 0 ? "k" : "absent", i / 2));
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    reads.push_back({.key = keys[i],
                     .generation = 1,
                     .payload = std::span(bytes).subspan(i * kSize, kSize)});
  }
  tier()->Load(reads);
  for (size_t i = 0; i < reads.size(); ++i) {
    EXPECT_EQ(reads[i].status.code(),
              i % 2 == 0 ? absl::StatusCode::kOk : absl::StatusCode::kNotFound)
        << keys[i] << ": " << reads[i].status;
  }
}

TEST_P(TierContract, NewestGenerationWinsWhateverTheOrderOfCalls) {
  ASSERT_TRUE(StoreOne("up", 1, 100).ok());
  ASSERT_TRUE(StoreOne("up", 2, 200).ok());
  ASSERT_TRUE(StoreOne("down", 2, 200).ok());
  ASSERT_TRUE(StoreOne("down", 1, 100).ok());
  EXPECT_EQ(GenerationOf("up"), 2u);
  EXPECT_EQ(GenerationOf("down"), 2u);
  EXPECT_EQ(Load("up"), absl::OkStatus());
  EXPECT_EQ(Load("down"), absl::OkStatus());
  EXPECT_EQ(LoadGeneration("up", 1, 100).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(LoadGeneration("down", 1, 100).code(), absl::StatusCode::kNotFound);
}

TEST_P(TierContract, NewestOfDuplicatesInABatchWins) {
  ASSERT_TRUE(
      Store(TierBatch().Add("a", 2, 222).Add("a", 3, 333).Add("a", 1, 111)).ok());
  EXPECT_EQ(GenerationOf("a"), 3u);
  EXPECT_EQ(Load("a"), absl::OkStatus());
  EXPECT_EQ(tier()->stats().blocks, 1u);
  EXPECT_EQ(tier()->stats().block_bytes, 333u);
}

TEST_P(TierContract, SameBlockStoredAgainIsOneBlock) {
  ASSERT_TRUE(StoreOne("a", 1, 100).ok());
  ASSERT_TRUE(StoreOne("a", 1, 100, Durability::kPower).ok());
  EXPECT_EQ(tier()->stats().blocks, 1u);
  Reopen();
  EXPECT_EQ(Load("a"), absl::OkStatus());
  EXPECT_EQ(tier()->stats().blocks, 1u);
}

TEST_P(TierContract, WrongGenerationIsNotFound) {
  ASSERT_TRUE(StoreOne("a", 5, 100).ok());
  EXPECT_EQ(LoadGeneration("a", 4, 100).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(LoadGeneration("a", 6, 100).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(LoadGeneration("b", 5, 100).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Load("a"), absl::OkStatus());
}

TEST_P(TierContract, KeysMayHaveAnyBytesUpToTheLimit) {
  const std::vector<std::string> keys = {
      std::string("\0", 1), std::string("\0\0", 2), std::string("a\0b", 3),
      std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
      std::string(kMaxKeyBytes, '\0'), std::string(kMaxKeyBytes, '\xff')};
  TierBatch batch;
  for (const std::string& key : keys) batch.Add(key, 1, 50 + key.size());
  ASSERT_TRUE(Store(batch).ok());
  for (const std::string& key : keys) EXPECT_EQ(Load(key), absl::OkStatus());
  Reopen();
  for (const std::string& key : keys) EXPECT_EQ(Load(key), absl::OkStatus());
  EXPECT_EQ(Keys("", "", 100).size(), keys.size());
}

TEST_P(TierContract, DeletedBlockIsGone) {
  ASSERT_TRUE(Store(TierBatch().Add("a", 1, 100).Add("b", 2, 100)).ok());
  ASSERT_TRUE(DeleteOne("a", 1).ok());
  EXPECT_EQ(GenerationOf("a"), 0u);
  EXPECT_EQ(LoadGeneration("a", 1, 100).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Keys("", "", 10), std::vector<std::string>{"b"});
  EXPECT_EQ(tier()->stats().blocks, 1u);
  EXPECT_EQ(tier()->stats().block_bytes, 100u);
}

TEST_P(TierContract, DeleteHidesOlderGenerationsOnly) {
  ASSERT_TRUE(StoreOne("a", 5, 100).ok());
  ASSERT_TRUE(DeleteOne("a", 4).ok());
  EXPECT_EQ(GenerationOf("a"), 5u);
  EXPECT_EQ(Load("a"), absl::OkStatus());
}

TEST_P(TierContract, DeleteOfAnAbsentKeyIsFine) {
  EXPECT_TRUE(DeleteOne("nobody", 1).ok());
  EXPECT_TRUE(tier()->Delete({}).ok());
}

TEST_P(TierContract, DeleteBeatsALaterStoreOfAnOlderGeneration) {
  ASSERT_TRUE(DeleteOne("a", 3).ok());
  EXPECT_TRUE(StoreOne("a", 3, 100).ok());
  EXPECT_TRUE(StoreOne("a", 2, 100).ok());
  EXPECT_EQ(GenerationOf("a"), 0u);
  Reopen();
  EXPECT_EQ(GenerationOf("a"), 0u);
}

TEST_P(TierContract, DeleteOfAStoredBlockBeatsLaterStoresAcrossAReopen) {
  ASSERT_TRUE(StoreOne("a", 2, 100, Durability::kProcess).ok());
  ASSERT_TRUE(DeleteOne("a", 3).ok());
  Reopen();
  EXPECT_TRUE(StoreOne("a", 3, 100).ok());
  EXPECT_EQ(GenerationOf("a"), 0u);
  EXPECT_TRUE(StoreOne("a", 4, 100).ok());
  EXPECT_EQ(GenerationOf("a"), 4u);
  EXPECT_EQ(Load("a"), absl::OkStatus());
}

TEST_P(TierContract, DeletedStaysDeletedAcrossAReopen) {
  ASSERT_TRUE(Store(TierBatch().Add("a", 1, 100).Add("b", 2, 100).Add("c", 3, 100),
                    Durability::kProcess)
                  .ok());
  ASSERT_TRUE(StoreOne("a", 4, 100, Durability::kProcess).ok());
  const Tier::Tombstone tombstones[] = {{"a", 4}, {"b", 2}};
  ASSERT_TRUE(tier()->Delete(tombstones).ok());
  for (int i = 0; i < 2; ++i) {
    Reopen();
    EXPECT_EQ(Keys("", "", 10), std::vector<std::string>{"c"});
    EXPECT_EQ(LoadGeneration("a", 1, 100).code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(LoadGeneration("b", 2, 100).code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(Load("c"), absl::OkStatus());
  }
}

TEST_P(TierContract, NewBlockAfterADeleteSurvivesAReopen) {
  ASSERT_TRUE(StoreOne("a", 1, 100, Durability::kProcess).ok());
  ASSERT_TRUE(DeleteOne("a", 1).ok());
  ASSERT_TRUE(StoreOne("a", 2, 200, Durability::kProcess).ok());
  Reopen();
  EXPECT_EQ(GenerationOf("a"), 2u);
  EXPECT_EQ(Load("a"), absl::OkStatus());
}

TEST_P(TierContract, StoredBlocksSurviveAReopen) {
  TierBatch batch;
  for (size_t i = 0; i < 200; ++i) batch.Add(absl::StrCat("k", i), i + 1, 1 + 53 * i);
  ASSERT_TRUE(Store(batch, Durability::kPower).ok());
  Reopen();
  EXPECT_EQ(tier()->stats().blocks, 200u);
  EXPECT_EQ(tier()->stats().recovered_blocks, 200u);
  EXPECT_EQ(tier()->stats().lost_blocks, 0u);
  for (size_t i = 0; i < 200; ++i) {
    EXPECT_EQ(Load(absl::StrCat("k", i)), absl::OkStatus()) << i;
  }
}

TEST_P(TierContract, NewestGenerationWinsAcrossAReopen) {
  for (uint64_t generation : {2, 3, 1}) {
    ASSERT_TRUE(StoreOne("a", generation, 100 * generation, Durability::kPower).ok());
  }
  Reopen();
  EXPECT_EQ(GenerationOf("a"), 3u);
  EXPECT_EQ(Load("a"), absl::OkStatus());
  ASSERT_TRUE(StoreOne("a", 2, 200).ok());
  EXPECT_EQ(GenerationOf("a"), 3u);
}

TEST_P(TierContract, ListGivesPagesInByteOrder) {
  TierBatch batch;
  for (const char* key : {"b/2", "a", "b/1", "b", "b/3", "c", "b0"}) {
    batch.Add(key, 1, 10);
  }
  ASSERT_TRUE(Store(batch).ok());
  using Strings = std::vector<std::string>;
  EXPECT_EQ(Keys("", "", 100), (Strings{"a", "b", "b/1", "b/2", "b/3", "b0", "c"}));
  EXPECT_EQ(Keys("b/", "", 100), (Strings{"b/1", "b/2", "b/3"}));
  EXPECT_EQ(Keys("b/", "", 2), (Strings{"b/1", "b/2"}));
  EXPECT_EQ(Keys("b/", "b/2", 2), (Strings{"b/3"}));
  EXPECT_EQ(Keys("b/", "a", 1), (Strings{"b/1"}));
  EXPECT_EQ(Keys("", "b/3", 100), (Strings{"b0", "c"}));
  EXPECT_EQ(Keys("b/", "b/3", 100), Strings{});
  EXPECT_EQ(Keys("", "", 0), Strings{});
  EXPECT_EQ(Keys("nothing", "", 100), Strings{});
}

TEST_P(TierContract, ListTellsWhatFindTells) {
  ASSERT_TRUE(StoreOne("a", 7, 1234).ok());
  const std::vector<Tier::Listed> listed = tier()->List("", "", 10);
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].block.generation, 7u);
  EXPECT_EQ(listed[0].block.info.size_bytes, 1234u);
  EXPECT_EQ(listed[0].block.info.attributes, DescribedAttributes("a", 7));
  EXPECT_EQ(listed[0].block.info.checksum, tier()->Find("a")->info.checksum);
}

TEST_P(TierContract, GenerationMaxCoversStoresAndDeletesAndSurvives) {
  EXPECT_EQ(tier()->generation_max(), 0u);
  ASSERT_TRUE(StoreOne("a", 5, 100, Durability::kPower).ok());
  EXPECT_EQ(tier()->generation_max(), 5u);
  ASSERT_TRUE(DeleteOne("b", 9).ok());
  EXPECT_EQ(tier()->generation_max(), 9u);
  ASSERT_TRUE(StoreOne("c", 7, 100, Durability::kPower).ok());
  EXPECT_EQ(tier()->generation_max(), 9u);
  Reopen();
  EXPECT_EQ(tier()->generation_max(), 9u);
}

TEST_P(TierContract, StatsCountWhatFindSees) {
  ASSERT_TRUE(Store(TierBatch().Add("a", 1, 1000).Add("b", 2, 2000)).ok());
  ASSERT_TRUE(StoreOne("a", 3, 500).ok());
  const Tier::Stats stats = tier()->stats();
  EXPECT_EQ(stats.blocks, 2u);
  EXPECT_EQ(stats.block_bytes, 2500u);
  EXPECT_EQ(stats.capacity_bytes, kCapacityBytes);
  EXPECT_GE(stats.used_bytes, stats.block_bytes);
  EXPECT_GE(stats.written_bytes, 3500u);
  EXPECT_EQ(stats.corrupt_blocks, 0u);
  EXPECT_EQ(stats.dropped_blocks, 0u);
}

}  // namespace kvasir
