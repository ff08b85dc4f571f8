// The SDK and servers that are not there: bounded times, misses, and coming back.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "client/async_client.h"
#include "client/client.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;
using ::testing::ElementsAre;

// Far above what a call may take beyond its timeout, far below a hang.
constexpr milliseconds kSlack{2'000};

absl::Status Put(Client& client, std::string_view key, std::string_view bytes) {
  const std::span<const std::byte> slice = std::as_bytes(std::span(bytes));
  const PutItem item{key, std::span(&slice, 1), {}};
  return client.Put(std::span(&item, 1), {})[0];
}

absl::Status Get(Client& client, std::string_view key, size_t size,
                 milliseconds timeout = milliseconds(500)) {
  std::string buffer(size, '.');
  const std::span<std::byte> slice = std::as_writable_bytes(std::span(buffer));
  const GetItem item{key, std::span(&slice, 1)};
  return client.Get(std::span(&item, 1), {.timeout = timeout})[0];
}

// A port that nobody listens on: connections are refused.
struct DeadPort {
  UniqueFd socket{::socket(AF_INET, SOCK_STREAM, 0)};
  std::string address;
  DeadPort() {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(in);
    // Bound and never listened on, so that no other process gets the port.
    EXPECT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&in), size), 0);
    EXPECT_EQ(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&in), &size), 0);
    address = "127.0.0.1:" + std::to_string(ntohs(in.sin_port));
  }
};

ClientOptions Options(std::vector<std::string> nodes) {
  ClientOptions options;
  options.nodes = std::move(nodes);
  options.timeout = milliseconds(500);
  return options;
}

TEST(Reconnect, ConnectGivesUpAfterItsTimeout) {
  const DeadPort dead;
  ClientOptions options = Options({dead.address});
  options.connect_timeout = milliseconds(200);
  const auto started = Steady::now();
  EXPECT_EQ(Client::Connect(options).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(Steady::now() - started, options.connect_timeout + kSlack);
}

TEST(Reconnect, ALazyClientMissesUntilANodeAnswers) {
  const DeadPort dead;
  ClientOptions options = Options({dead.address});
  options.connect_lazily = true;
  const auto started = Steady::now();
  const auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ(Get(**client, "k", 1).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Put(**client, "k", "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE((*client)->Exists("k", {}));
  EXPECT_EQ((*client)->transports()[0], std::nullopt);
  EXPECT_EQ((*client)->counters().misses_node_down, 1u);
  EXPECT_LT(Steady::now() - started, kSlack);
}

TEST(Reconnect, WithoutANodeAMissTakesNoIo) {
  const DeadPort dead;
  ClientOptions options = Options({dead.address});
  options.connect_lazily = true;
  const auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok());
  // The fastest of many: a busy machine may interrupt any one of them.
  auto best = Steady::duration::max();
  for (int i = 0; i < 200; ++i) {
    const auto started = Steady::now();
    EXPECT_FALSE(Get(**client, "k", 1).ok());
    best = std::min(best, Steady::now() - started);
  }
  EXPECT_LT(best, std::chrono::microseconds(20));
}

TEST(Reconnect, EveryAsyncOperationCompletesWithoutANode) {
  const DeadPort dead;
  ClientOptions options = Options({dead.address});
  options.connect_lazily = true;
  const auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok());
  const auto async = AsyncClient::Create(client->get(), {});
  ASSERT_TRUE(async.ok());
  const std::string_view key = "k";
  std::string bytes(10, '.');
  const std::span<std::byte> slice = std::as_writable_bytes(std::span(bytes));
  const GetItem get{key, std::span(&slice, 1)};
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE((*async)->SubmitExists(std::span(&key, 1), {}).ok());
    ASSERT_TRUE((*async)->SubmitGet(std::span(&get, 1), {}).ok());
  }
  size_t completed = 0;
  while (completed < 100) {
    pollfd fd{(*async)->event_fd(), POLLIN, 0};
    ASSERT_EQ(poll(&fd, 1, 10'000), 1);
    for (const Completion& done : (*async)->Drain()) {
      EXPECT_THAT(done.results, ElementsAre(::testing::Property(
                                    &absl::Status::code, absl::StatusCode::kNotFound)));
      ++completed;
    }
  }
}

class RestartTest : public ::testing::TestWithParam<TransportChoice> {
 protected:
  void SetUp() override {
    Start({});
    ClientOptions options = Options({server_->listen()});
    options.transport = GetParam();
    auto client = Client::Connect(options);
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
    ASSERT_EQ(Put(*client_, "k", "abc"), absl::OkStatus());
  }
  void Start(std::vector<std::string> flags) {
    auto server = ServerProcess::Start({.flags = std::move(flags)});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  // Until no thread of the server runs any more.
  void Stop() {
    server_->Signal(SIGSTOP);
    siginfo_t info;
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(server_->pid()), &info, WSTOPPED | WNOWAIT), 0);
  }
  void Kill() {
    server_->Signal(SIGKILL);
    EXPECT_TRUE(server_->WaitForExit().ok());
  }
  // Puts until the node takes it: true if it did so in time.
  bool PutSucceedsSoon() {
    const auto give_up = Steady::now() + std::chrono::seconds(30);
    while (Steady::now() < give_up) {
      const absl::Status put = Put(*client_, "k", "abc");
      if (put.ok() || absl::IsAlreadyExists(put)) return true;
      EXPECT_TRUE(absl::IsUnavailable(put) || absl::IsDeadlineExceeded(put)) << put;
    }
    return false;
  }

  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<Client> client_;
};

INSTANTIATE_TEST_SUITE_P(Transports, RestartTest,
                         ::testing::Values(TransportChoice::kShm, TransportChoice::kTcp),
                         [](const auto& info) {
                           return info.param == TransportChoice::kShm ? "Shm" : "Tcp";
                         });

TEST_P(RestartTest, ARestartedServerIsFoundAgain) {
  const std::string listen = server_->listen();
  Kill();
  const auto started = Steady::now();
  EXPECT_EQ(Get(*client_, "k", 3).code(), absl::StatusCode::kNotFound);
  EXPECT_LT(Steady::now() - started, milliseconds(500) + kSlack);

  Start({"--listen=" + listen});
  ASSERT_TRUE(PutSucceedsSoon());
  EXPECT_EQ(Get(*client_, "k", 3), absl::OkStatus());
  EXPECT_EQ(client_->counters().reconnects, 1u);
  // It was away for less than a second; the pauses between attempts grow from 250 ms.
  EXPECT_LT(Steady::now() - started, std::chrono::seconds(10));
}

TEST_P(RestartTest, AServerThatHangsCostsNoMoreThanTheTimeout) {
  Stop();
  for (int i = 0; i < 3; ++i) {
    const auto started = Steady::now();
    EXPECT_EQ(Get(*client_, "k", 3, milliseconds(200)).code(), absl::StatusCode::kNotFound);
    EXPECT_LT(Steady::now() - started, milliseconds(200) + kSlack);
  }
  EXPECT_GE(client_->counters().misses_late + client_->counters().misses_node_down, 3u);
  server_->Signal(SIGCONT);
  EXPECT_TRUE(PutSucceedsSoon());
}

TEST_P(RestartTest, ASessionThatTheServerGaveUpIsOpenedAnew) {
  // The server hears nothing for longer than it waits, because it sleeps itself.
  const std::string listen = server_->listen();
  Kill();
  Start({"--listen=" + listen, "--session_silence=500ms"});
  ASSERT_TRUE(PutSucceedsSoon());
  Stop();
  EXPECT_FALSE(Get(*client_, "k", 3, milliseconds(1'000)).ok());
  server_->Signal(SIGCONT);
  EXPECT_TRUE(PutSucceedsSoon());
  EXPECT_EQ(Get(*client_, "k", 3), absl::OkStatus());
}

TEST_P(RestartTest, OneOfTwoNodesIsEnough) {
  const DeadPort dead;
  ClientOptions options = Options({"a=" + server_->listen(), "b=" + dead.address});
  options.transport = GetParam();
  const auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok()) << client.status();
  int stored = 0;
  for (int i = 0; i < 40; ++i) {
    const std::string key = "of two " + std::to_string(i);
    const absl::Status put = Put(**client, key, "abc");
    if (put.ok()) ++stored;
    EXPECT_EQ(Get(**client, key, 3).ok(), put.ok()) << put;
  }
  EXPECT_GT(stored, 5);
  EXPECT_LT(stored, 35);
  const std::vector<absl::Status> pings = (*client)->Ping({});
  EXPECT_TRUE(pings[0].ok());
  EXPECT_FALSE(pings[1].ok());
}

TEST_P(RestartTest, BatchesOverTwoNodesAnswerInTheirOwnOrder) {
  const std::unique_ptr<ServerProcess> first = std::move(server_);
  Start({});
  ClientOptions options = Options({"a=" + first->listen(), "b=" + server_->listen()});
  options.transport = GetParam();
  options.timeout = std::chrono::seconds(20);
  const auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok()) << client.status();
  std::vector<std::string> names, values;
  for (int i = 0; i < 60; ++i) {
    names.push_back("key " + std::to_string(i));
    values.push_back("value " + std::to_string(1000 + i));
  }
  std::vector<std::span<const std::byte>> payloads;
  std::vector<PutItem> puts;
  for (const std::string& value : values) payloads.push_back(std::as_bytes(std::span(value)));
  for (int i = 0; i < 60; ++i) {
    if (i != 7) puts.push_back({names[i], std::span(&payloads[i], 1), names[i]});
  }
  for (const absl::Status& status : (*client)->Put(puts, {})) EXPECT_EQ(status, absl::OkStatus());

  class OrderSink final : public Sink {
   public:
    void Place(std::span<Landing> landings) override {
      for (Landing& landing : landings) {
        names[landing.index] = landing.attributes;
        landing.local = std::as_writable_bytes(std::span(values[landing.index]));
      }
    }
    std::vector<std::string> names = std::vector<std::string>(60);
    std::vector<std::string> values = std::vector<std::string>(60, std::string(10, '.'));
  } sink;
  const std::vector<std::string_view> keys(names.begin(), names.end());
  const std::vector<absl::Status> got = (*client)->Get(keys, sink, {});
  for (int i = 0; i < 60; ++i) {
    EXPECT_EQ(got[i].ok(), i != 7) << i << got[i];
    EXPECT_EQ(sink.values[i], i == 7 ? ".........." : values[i]);
    EXPECT_EQ(sink.names[i], i == 7 ? "" : names[i]);
  }
  const LookupResult found = (*client)->Lookup(keys, {.pin_owner = "me"});
  EXPECT_EQ(found.prefix_count, 7u);
  EXPECT_GE(found.pinned_count, 7u);
  EXPECT_TRUE(found.present[8]);
  EXPECT_EQ((*client)->List("key ", 100, {})->size(), 59u);
  EXPECT_GT((*client)->Stats({})->at(0).at("pins"), 0);
  EXPECT_EQ((*client)->Unpin("me", {}), absl::OkStatus());
}

}  // namespace
}  // namespace kvasir
