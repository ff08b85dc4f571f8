#include "client/client_options.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace kvasir {
namespace {

using std::chrono::milliseconds;

TEST(ParseNode, AnAddressIsItsOwnName) {
  const auto node = ParseNode("kv.example:7450");
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ(node->name, "kv.example:7450");
  EXPECT_EQ(node->address, "kv.example:7450");
  EXPECT_EQ(node->host, "kv.example");
}

TEST(ParseNode, AnAddressMayHaveAName) {
  const auto node = ParseNode("kv-0=[::1]:7450");
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ(node->name, "kv-0");
  EXPECT_EQ(node->address, "[::1]:7450");
  EXPECT_EQ(node->host, "::1");
}

TEST(ParseNode, AUnixSocketIsAnAddressOnThisHost) {
  const auto node = ParseNode("unix:/run/a=b.sock");
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ(node->name, "unix:/run/a=b.sock");
  EXPECT_EQ(node->address, "unix:/run/a=b.sock");
  EXPECT_EQ(node->host, "127.0.0.1");
  const auto named = ParseNode("kv-0=unix:/run/kv.sock");
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(named->name, "kv-0");
  EXPECT_EQ(named->address, "unix:/run/kv.sock");
}

TEST(ParseNode, WhatIsNoAddressIsRefused) {
  for (const char* text : {"", ":", "host", "host:", ":7450", "=host:1", "host:0", "host:65536",
                           "host:1x", "::1:7450", "[]:1", "host:-1", "unix:", "unix:here",
                           "=unix:/s"}) {
    EXPECT_EQ(ParseNode(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(CheckOptions, DefaultsNeedOnlyANode) {
  EXPECT_TRUE(CheckOptions({.nodes = {"h:1"}}).ok());
  EXPECT_EQ(CheckOptions({}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CheckOptions, TwoNodesOfOneNameAreRefused) {
  EXPECT_EQ(CheckOptions({.nodes = {"a=h:1", "a=h:2"}}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CheckOptions, NumbersOutOfRangeAreNamed) {
  const auto message_of = [](const ClientOptions& options) {
    const absl::Status status = CheckOptions(options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_NE(message_of({.nodes = {"h:1"}, .timeout = milliseconds(0)}).find("timeout is 0"),
            std::string::npos);
  EXPECT_NE(message_of({.nodes = {"h:1"}, .lanes_per_node = 129}).find("lanes_per_node is 129"),
            std::string::npos);
  EXPECT_NE(message_of({.nodes = {"h:1"}, .staging_buffers = 0}).find("0 buffers"),
            std::string::npos);
  EXPECT_NE(message_of({.nodes = {"h:1"}, .client_name = std::string(257, 'x')}).find("257"),
            std::string::npos);
}

}  // namespace
}  // namespace kvasir
