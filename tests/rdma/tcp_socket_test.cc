#include "rdma/tcp_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <string>

#include "gtest/gtest.h"
#include "tests/rdma/tcp_peer.h"

namespace kvasir {
namespace {

Instant In(std::chrono::milliseconds wait) { return Clock::Real()->Now() + wait; }
constexpr std::chrono::seconds kLong{30};

TEST(HostPort, ParsesNamesAndAddressesOfBothFamilies) {
  EXPECT_EQ(*ParseHostPort("node-1:7450"), (HostPort{"node-1", 7450}));
  EXPECT_EQ(*ParseHostPort("10.0.0.1:0"), (HostPort{"10.0.0.1", 0}));
  EXPECT_EQ(*ParseHostPort("[::1]:65535"), (HostPort{"::1", 65535}));
  EXPECT_EQ(*ParseHostPort(":80"), (HostPort{"", 80}));
}

TEST(HostPort, FormatsWhatItParses) {
  for (const std::string text : {"node-1:7450", "[fe80::1]:1", ":80"}) {
    EXPECT_EQ(FormatHostPort(*ParseHostPort(text)), text);
  }
}

TEST(HostPort, RefusesWhatIsNone) {
  for (const std::string text :
       {"", "host", "host:", "host:x", "host:65536", "host:-1", "::1:80", "host:80 "}) {
    EXPECT_EQ(ParseHostPort(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(TcpSocket, ListensOnAFreePortAndSaysWhich) {
  const auto listener = ListenTcp({.host = "127.0.0.1"}, {});
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto address = LocalAddress(listener->get());
  ASSERT_TRUE(address.ok());
  EXPECT_EQ(address->host, "127.0.0.1");
  EXPECT_NE(address->port, 0);
  const auto fd = ConnectTcp(*address, {}, Clock::Real(), In(kLong));
  EXPECT_TRUE(fd.ok()) << fd.status();
}

TEST(TcpSocket, ATakenPortIsAnErrorThatNamesIt) {
  const auto listener = ListenTcp({.host = "127.0.0.1"}, {});
  ASSERT_TRUE(listener.ok());
  const HostPort taken = *LocalAddress(listener->get());
  const auto second = ListenTcp(taken, {});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find(FormatHostPort(taken)), std::string::npos);
}

TEST(TcpSocket, NobodyThereIsUnavailable) {
  HostPort gone;
  {
    const auto listener = ListenTcp({.host = "127.0.0.1"}, {});
    ASSERT_TRUE(listener.ok());
    gone = *LocalAddress(listener->get());
  }
  const auto fd = ConnectTcp(gone, {}, Clock::Real(), In(kLong));
  EXPECT_EQ(fd.status().code(), absl::StatusCode::kUnavailable) << fd.status();
}

TEST(TcpSocket, AnUnknownHostIsUnavailable) {
  const auto fd = ConnectTcp({.host = "no.such.host.invalid", .port = 1}, {}, Clock::Real(),
                             In(kLong));
  EXPECT_EQ(fd.status().code(), absl::StatusCode::kUnavailable) << fd.status();
}

TEST(TcpSocket, AWaitEndsAtItsDeadline) {
  const auto [client, server] = TcpPair();
  EXPECT_EQ(AwaitSocket(client.get(), POLLIN, Clock::Real(), In(std::chrono::milliseconds(5))),
            absl::DeadlineExceededError("wait for socket: deadline"));
  EXPECT_TRUE(AwaitSocket(client.get(), POLLOUT, Clock::Real(), In(kLong)).ok());
}

std::string CongestionControlOf(int fd) {
  char name[16] = "";
  socklen_t size = sizeof(name);
  EXPECT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size), 0);
  return name;
}

TEST(TcpSocket, AConnectionWithinTheHostIsNotPaced) {
  const auto listener = ListenTcp({.host = "127.0.0.1"}, {});
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto fd = ConnectTcp(*LocalAddress(listener->get()), {}, Clock::Real(), In(kLong));
  ASSERT_TRUE(fd.ok()) << fd.status();
  EXPECT_EQ(CongestionControlOf(fd->get()), "reno");
}

TEST(TcpSocket, WhatIsNotConnectedKeepsTheSystemsCongestionControl) {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
  const std::string before = CongestionControlOf(fd.get());
  TuneConnection(fd.get());
  EXPECT_EQ(CongestionControlOf(fd.get()), before);
}

TEST(ReceiveThreshold, HoldsAWaitUntilSoMuchHasCome) {
  const auto [client, server] = TcpPair();
  ReceiveThreshold threshold(server.get());
  const auto readable = [&server = server] {
    return AwaitSocket(server.get(), POLLIN, Clock::Real(), Clock::Real()->Now()).ok();
  };
  const std::string bytes(50'000, 'x');
  threshold.Set(100'000);
  ASSERT_EQ(send(client.get(), bytes.data(), bytes.size(), 0), 50'000);
  EXPECT_FALSE(readable());
  ASSERT_EQ(send(client.get(), bytes.data(), bytes.size(), 0), 50'000);
  EXPECT_TRUE(AwaitSocket(server.get(), POLLIN, Clock::Real(), In(kLong)).ok());
}

TEST(ReceiveThreshold, LoweringItShowsWhatIsThereAndAHangUpAlwaysShows) {
  auto [client, server] = TcpPair();
  ReceiveThreshold threshold(server.get());
  threshold.Set(100'000);
  ASSERT_EQ(send(client.get(), "x", 1, 0), 1);
  threshold.Set(0);
  EXPECT_TRUE(AwaitSocket(server.get(), POLLIN, Clock::Real(), In(kLong)).ok());
  threshold.Set(100'000);
  client.reset();
  EXPECT_TRUE(AwaitSocket(server.get(), POLLIN, Clock::Real(), In(kLong)).ok());
}

}  // namespace
}  // namespace kvasir
