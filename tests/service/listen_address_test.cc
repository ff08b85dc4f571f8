#include "service/listen_address.h"

#include <gtest/gtest.h>

namespace kvasir {
namespace {

TEST(ListenAddress, AddressesAndNamesParseAndPrintAlike) {
  for (const std::string_view text :
       {"127.0.0.1:7450", "[::1]:0", "localhost:65535", "0.0.0.0:1", "node-3.kv_x:80"}) {
    const absl::StatusOr<ListenAddress> parsed = ListenAddress::Parse(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->ToString(), text);
  }
}

TEST(ListenAddress, WhatIsNoAddressIsRefusedByName) {
  for (const std::string_view text :
       {"", "7450", ":7450", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
        "127.0.0.1:7x", "::1:7450", "[::1]", "[zz]:1", "a b:1", "[]:1", "http://a:1"}) {
    const absl::StatusOr<ListenAddress> parsed = ListenAddress::Parse(text);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  const absl::Status status = ListenAddress::Parse("7450").status();
  EXPECT_NE(status.ToString().find("\"7450\" is not an address"), std::string::npos);
}

TEST(ListenAddress, LoopbackIsWhatOnlyThisMachineReaches) {
  for (const std::string_view host : {"127.0.0.1", "127.9.9.9", "::1", "localhost"}) {
    EXPECT_TRUE((ListenAddress{.host = std::string(host)}).loopback()) << host;
  }
  for (const std::string_view host :
       {"0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "example"}) {
    EXPECT_FALSE((ListenAddress{.host = std::string(host)}).loopback()) << host;
  }
}

TEST(ListenAddress, WildcardIsEveryInterface) {
  EXPECT_TRUE((ListenAddress{.host = "0.0.0.0"}).wildcard());
  EXPECT_TRUE((ListenAddress{.host = "::"}).wildcard());
  EXPECT_FALSE((ListenAddress{.host = "127.0.0.1"}).wildcard());
}

}  // namespace
}  // namespace kvasir
