#include "client/cli/data_commands.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "absl/status/status.h"
#include "base/limits.h"
#include "tests/client/cli/app_fixture.h"

namespace kvasir {
namespace {

std::string AllBytes() {
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes.push_back(static_cast<char>(i * 7));
  return bytes;
}

TEST_F(AppTest, BytesGoFromFileToNodeToFileUnchanged) {
  const std::string bytes = AllBytes();
  EXPECT_EQ(Run({"put", "k", WriteFile("in.bin", bytes), "--attributes", "s\\x00"}),
            ExitCode::kOk);
  EXPECT_EQ(out(), "k: 97.66 KiB stored over shm\n");
  EXPECT_EQ(store_.Find("k")->bytes, bytes);
  EXPECT_EQ(store_.Find("k")->attributes, std::string("s\0", 2));
  EXPECT_EQ(Run({"get", "k", Path("out.bin"), "-o", "json"}), ExitCode::kOk);
  EXPECT_EQ(json()["size_bytes"], 100'000);
  EXPECT_EQ(json()["attributes"], "s\\x00");
  EXPECT_EQ(ReadFile(Path("out.bin")), bytes);
}

TEST_F(AppTest, BytesGoThroughStandardInputAndOutput) {
  const std::string bytes = AllBytes();
  EXPECT_EQ(Run({"put", "k"}, bytes), ExitCode::kOk);
  EXPECT_EQ(Run({"get", "k"}), ExitCode::kOk);
  EXPECT_EQ(out(), bytes);
  EXPECT_EQ(err(), "");
}

TEST_F(AppTest, OptionsOfTheConnectionReachTheClient) {
  Run({"put", "k", "--transport", "tcp", "--server", "h:1", "--timeout", "3s"}, "v");
  EXPECT_EQ(client_options_.nodes, std::vector<std::string>{"h:1"});
  EXPECT_EQ(client_options_.transport, TransportChoice::kTcp);
  EXPECT_EQ(client_options_.timeout, std::chrono::seconds(3));
}

TEST_F(AppTest, PuttingTheSameBytesAgainIsFineAndOtherBytesAreNot) {
  EXPECT_EQ(Run({"put", "k"}, "first"), ExitCode::kOk);
  EXPECT_EQ(Run({"put", "k", "-o", "json"}, "first"), ExitCode::kOk);
  EXPECT_EQ(json()["stored_before"], true);
  EXPECT_EQ(Run({"put", "k"}, "other"), ExitCode::kError);
  EXPECT_NE(err().find("--replace"), std::string::npos) << err();
  EXPECT_EQ(store_.Find("k")->bytes, "first");
  EXPECT_EQ(Run({"put", "k", "--replace"}, "other"), ExitCode::kOk);
  EXPECT_EQ(store_.Find("k")->bytes, "other");
}

TEST_F(AppTest, WhatCannotBeABlockIsRefusedBeforeItIsSent) {
  EXPECT_EQ(Run({"put", "k"}, ""), ExitCode::kUsage);
  EXPECT_EQ(err(), "kvasir: standard input is empty; a block has at least 1 byte\n");
  EXPECT_EQ(Run({"put", "k", "--attributes", std::string(257, 'a')}, "v"),
            ExitCode::kUsage);
  EXPECT_EQ(Run({"put", std::string(1025, 'k')}, "v"), ExitCode::kUsage);
  EXPECT_EQ(store_.calls().puts, 0u);
}

TEST_F(AppTest, AFileThatDoesNotOpenIsAUsageErrorThatNamesIt) {
  EXPECT_EQ(Run({"put", "k", Path("absent/file")}), ExitCode::kUsage);
  EXPECT_NE(err().find("absent/file"), std::string::npos) << err();
  Store("k", "v");
  EXPECT_EQ(Run({"get", "k", Path("absent/file")}), ExitCode::kUsage);
  EXPECT_NE(err().find("absent/file"), std::string::npos) << err();
}

TEST_F(AppTest, AMissIsFourAndWritesNoFile) {
  EXPECT_EQ(Run({"get", "absent", Path("no.bin")}), ExitCode::kNotFound);
  EXPECT_EQ(err(), "kvasir: get: absent is not stored\n");
  struct stat info;
  EXPECT_NE(stat(Path("no.bin").c_str(), &info), 0);
}

TEST_F(AppTest, JsonOfAGetNeedsAFile) {
  Store("k", "v");
  EXPECT_EQ(Run({"get", "k", "-o", "json"}), ExitCode::kUsage);
  EXPECT_EQ(out(), "");
}

TEST_F(AppTest, AFullNodeIsAnError) {
  store_.FailPut("", absl::ResourceExhaustedError("put: the node is full"));
  EXPECT_EQ(Run({"put", "k"}, "v"), ExitCode::kError);
  EXPECT_EQ(err(), "kvasir: put: the node is full\n");
}

}  // namespace
}  // namespace kvasir
