#include "service/ready_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace kvasir {
namespace {

std::string PathOf(const std::string& name) { return testing::TempDir() + "/" + name; }

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ReadyFile, IsThereFromWriteUntilItsEnd) {
  const std::string path = PathOf("ready");
  {
    ReadyFile file(path);
    EXPECT_FALSE(std::filesystem::exists(path));
    ASSERT_TRUE(file.Write("{}").ok());
    EXPECT_EQ(ReadAll(path), "{}\n");
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ReadyFile, WhatAnEarlierRunLeftIsRemovedBeforeAnythingIsReady) {
  const std::string path = PathOf("stale");
  std::ofstream(path) << "stale";
  const ReadyFile file(path);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ReadyFile, NothingElseIsLeftInItsDirectory) {
  const std::string directory = PathOf("only");
  std::filesystem::create_directory(directory);
  ReadyFile file(directory + "/ready");
  ASSERT_TRUE(file.Write("{}").ok());
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(directory)) {
    ++files;
  }
  EXPECT_EQ(files, 1u);
}

TEST(ReadyFile, ADirectoryThatIsNotThereIsAnErrorWithThePath) {
  ReadyFile file("/nonexistent/ready");
  const absl::Status status = file.Write("{}");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.ToString().find("/nonexistent/ready"), std::string::npos);
}

TEST(ReadyFile, AnEmptyPathIsNoFile) {
  ReadyFile file("");
  EXPECT_TRUE(file.Write("{}").ok());
}

}  // namespace
}  // namespace kvasir
