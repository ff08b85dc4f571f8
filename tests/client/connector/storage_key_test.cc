#include "client/connector/storage_key.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"

namespace kvasir {
namespace {

std::string Stored(std::string_view key) {
  return std::string(StorageKeys(std::span(&key, 1)).views()[0]);
}

TEST(StorageKey, OrdinaryKeysStayAsTheyAre) {
  const std::string zeros("a\0b/../@%", 9);
  EXPECT_EQ(Stored(zeros), zeros);
  EXPECT_EQ(Stored(std::string(kMaxKeyBytes, 'k')), std::string(kMaxKeyBytes, 'k'));
}

TEST(StorageKey, LongAndEmptyKeysGetStandInsThatTheStoreTakes) {
  for (const std::string& key : {std::string(kMaxKeyBytes + 1, 'k'), std::string()}) {
    const std::string stored = Stored(key);
    EXPECT_NE(stored, key);
    EXPECT_EQ(stored.size(), kStandInPrefix.size() + 8 + 32);
    EXPECT_EQ(stored, Stored(key)) << "a stand-in is a pure function of the key";
  }
}

TEST(StorageKey, TheStandInIsTheLengthAndTheWholeSha256) {
  // Digest of the empty message: FIPS 180-4, e3b0c442...7852b855.
  const std::string stored = Stored("");
  EXPECT_EQ(stored.substr(kStandInPrefix.size(), 8), std::string(8, '\0'));
  const std::string digest = stored.substr(kStandInPrefix.size() + 8);
  EXPECT_EQ(static_cast<unsigned char>(digest.front()), 0xe3);
  EXPECT_EQ(static_cast<unsigned char>(digest[1]), 0xb0);
  EXPECT_EQ(static_cast<unsigned char>(digest.back()), 0x55);
}

TEST(StorageKey, LongKeysThatDifferInOneByteOrInLengthStayApart) {
  std::string key(5000, 'k');
  const std::string first = Stored(key);
  key[4999] = 'l';
  EXPECT_NE(Stored(key), first);
  EXPECT_NE(Stored(std::string(5001, 'k')), first);
}

TEST(StorageKey, NoShortKeyNamesALongKeysBlock) {
  const std::string stand_in = Stored(std::string(2000, 'k'));
  EXPECT_NE(Stored(stand_in), stand_in);
}

TEST(StorageKey, ABatchKeepsItsOrder) {
  const std::string long_key(3000, 'x');
  const std::vector<std::string_view> keys = {"a", long_key, "b", ""};
  const StorageKeys stored(keys);
  ASSERT_EQ(stored.views().size(), 4u);
  EXPECT_EQ(stored.views()[0], "a");
  EXPECT_EQ(stored.views()[1], StandIn(long_key));
  EXPECT_EQ(stored.views()[2], "b");
  EXPECT_EQ(stored.views()[3], StandIn(""));
}

}  // namespace
}  // namespace kvasir
