#include "storage/tier_directory.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "gtest/gtest.h"
#include "storage/disk_format.h"
#include "tests/storage/tier_files.h"

namespace kvasir {
namespace {

namespace fs = std::filesystem;

void Write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path) << text;
}

absl::StatusCode OpenCode(const std::string& path) {
  return TierDirectory::Open(path).status().code();
}

TEST(TierDirectory, NewOneIsMadeAndCanBeOpenedAgain) {
  const TierFiles files;
  for (int i = 0; i < 2; ++i) {
    const auto directory = TierDirectory::Open(files.tier());
    ASSERT_TRUE(directory.ok()) << directory.status();
    EXPECT_TRUE(fs::exists((*directory)->staging()));
  }
  EXPECT_TRUE(fs::exists(files.tier() + "/KVASIR_FORMAT"));
}

TEST(TierDirectory, SecondHolderIsRefusedByName) {
  const TierFiles files;
  const auto first = TierDirectory::Open(files.tier());
  ASSERT_TRUE(first.ok());
  const absl::Status second = TierDirectory::Open(files.tier()).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(ToStd(second.message()).find(files.tier()), std::string::npos) << second;
  EXPECT_NE(ToStd(second.message()).find("another server"), std::string::npos) << second;
  EXPECT_EQ(TierDirectory::SetAside(files.tier()).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(TierDirectory, ForeignDirectoryIsRefusedAndLeftAlone) {
  const TierFiles files;
  Write(files.tier() + "/diary.txt", "dear diary");
  EXPECT_EQ(OpenCode(files.tier()), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(fs::exists(files.tier() + "/KVASIR_FORMAT"));
  EXPECT_FALSE(fs::exists(files.tier() + "/db"));
}

TEST(TierDirectory, PathThatCanBeNoDirectoryIsRefused) {
  const TierFiles files;
  Write(files.tier() + "/file", "in the way");
  EXPECT_EQ(OpenCode(files.tier() + "/file"), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OpenCode(files.tier() + "/file/below"), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OpenCode(files.tier() + "/" + std::string(300, 'x')),
            absl::StatusCode::kFailedPrecondition);
}

TEST(TierDirectory, OtherVersionsAreRefused) {
  const TierFiles files;
  ASSERT_EQ(OpenCode(files.tier()), absl::StatusCode::kOk);
  Write(files.tier() + "/KVASIR_FORMAT", EncodeFormatFile(kDiskFormatVersion + 1));
  EXPECT_EQ(OpenCode(files.tier()), absl::StatusCode::kFailedPrecondition);
}

TEST(TierDirectory, DamagedFormatIsDataLoss) {
  const TierFiles files;
  ASSERT_EQ(OpenCode(files.tier()), absl::StatusCode::kOk);
  Write(files.tier() + "/KVASIR_FORMAT", "kvasir disk tier, formal 1, 0000\n");
  EXPECT_EQ(OpenCode(files.tier()), absl::StatusCode::kDataLoss);
}

TEST(TierDirectory, StagingIsEmptiedAtOpen) {
  const TierFiles files;
  ASSERT_EQ(OpenCode(files.tier()), absl::StatusCode::kOk);
  Write(files.tier() + "/staging/7.sst", "half a segment");
  ASSERT_EQ(OpenCode(files.tier()), absl::StatusCode::kOk);
  EXPECT_TRUE(fs::is_empty(files.tier() + "/staging"));
}

TEST(TierDirectory, SetAsideKeepsEverythingAndLeavesAnEmptyTier) {
  const TierFiles files;
  ASSERT_EQ(OpenCode(files.tier()), absl::StatusCode::kOk);
  Write(files.tier() + "/db/CURRENT", "nonsense");
  const auto aside = TierDirectory::SetAside(files.tier());
  ASSERT_TRUE(aside.ok()) << aside.status();
  EXPECT_EQ(*aside, files.tier() + "/set-aside-1");
  EXPECT_TRUE(fs::exists(*aside + "/db/CURRENT"));
  EXPECT_TRUE(fs::exists(*aside + "/KVASIR_FORMAT"));
  EXPECT_FALSE(fs::exists(files.tier() + "/db"));
  EXPECT_EQ(OpenCode(files.tier()), absl::StatusCode::kOk);
}

TEST(TierDirectory, SetAsideIsBounded) {
  const TierFiles files;
  for (int i = 0; i < kMaxTierSetAside; ++i) {
    ASSERT_EQ(OpenCode(files.tier()), absl::StatusCode::kOk);
    ASSERT_TRUE(TierDirectory::SetAside(files.tier()).ok());
  }
  EXPECT_EQ(TierDirectory::SetAside(files.tier()).status().code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace kvasir
