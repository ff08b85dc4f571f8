// The connector against the real kvasird.
#include "client/connector/connector.h"

#include <gtest/gtest.h>

#include <signal.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "tests/client/connector/connector_support.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

using Keys = std::vector<std::string_view>;

class ConnectorIntegration : public ::testing::Test {
 protected:
  static std::unique_ptr<ServerProcess> StartServer(std::vector<std::string> flags = {}) {
    auto server = ServerProcess::Start({.flags = std::move(flags)});
    EXPECT_TRUE(server.ok()) << server.status();
    return *std::move(server);
  }

  static std::unique_ptr<Connector> Open(const std::string& address,
                                         TransportChoice transport) {
    ClientOptions options;
    options.nodes = {address};
    options.transport = transport;
    options.timeout = std::chrono::seconds(20);
    auto connector = Connector::Open(options, {});
    EXPECT_TRUE(connector.ok()) << connector.status();
    return *std::move(connector);
  }

  // A lazy client connects in the background; every look is a call of its own.
  static bool AwaitPing(Connector& connector) {
    for (int i = 0; i < 100'000; ++i) {
      if (connector.Ping().ok()) return true;
    }
    return false;
  }

  CountingAllocator allocator_;
};

TEST_F(ConnectorIntegration, AFreshConnectorRebuildsWhatAnotherStoredOverEachTransport) {
  const auto server = StartServer();
  for (const TransportChoice transport : {TransportChoice::kShm, TransportChoice::kTcp}) {
    const std::string tag = transport == TransportChoice::kShm ? "shm" : "tcp";
    const OwnedPut a(tag + "/a", std::string(100'000, 'a'), "shape a");
    const OwnedPut b(tag + "/b", std::string(33, 'b'), "shape b");
    const OwnedPut c(tag + std::string(3000, 'c'), std::string(70'000, 'c'), "long key");
    {
      const auto writer = Open(server->listen(), transport);
      ASSERT_TRUE(AwaitPing(*writer));
      for (const absl::Status& status :
           writer->BatchedPut(std::vector{a.item(), b.item(), c.item()})) {
        EXPECT_TRUE(status.ok()) << status;
      }
      EXPECT_TRUE(writer->Put(a.item()).ok()) << "stored already is success";
    }
    const auto reader = Open(server->listen(), transport);
    ASSERT_TRUE(AwaitPing(*reader));
    const Keys keys = {a.item().key, "absent", b.item().key, c.item().key};
    EXPECT_EQ(reader->BatchedContains(keys), 1u);
    EXPECT_EQ(reader->BatchedContainsBitmap(keys),
              (std::vector<bool>{true, false, true, true}));
    const auto got = reader->BatchedGet(keys, allocator_);
    ASSERT_TRUE(got[0].has_value() && !got[1].has_value() && got[2].has_value() &&
                got[3].has_value());
    EXPECT_EQ(TextOf(got[0]->bytes), std::string(100'000, 'a'));
    EXPECT_EQ(got[2]->attributes, "shape b");
    EXPECT_EQ(TextOf(got[3]->bytes), std::string(70'000, 'c'));
    EXPECT_EQ(reader->BatchedGetNonBlocking("r", keys, allocator_).size(), 1u);
    EXPECT_EQ(reader->List(tag + "/", 10)->size(), 2u);
    EXPECT_TRUE(reader->Remove(a.item().key).ok());
    EXPECT_TRUE(absl::IsNotFound(reader->Remove(a.item().key)));
  }
  EXPECT_EQ(allocator_.releases(), 4u) << "b and c behind the hole, on each transport";
  EXPECT_EQ(allocator_.unknown_releases(), 0u);
}

TEST_F(ConnectorIntegration, ItStartsWithoutAServerMissesAndFindsTheOneThatComes) {
  std::string address;
  {
    const auto first = StartServer();
    address = first->listen();
    first->Signal(SIGTERM);
    ASSERT_TRUE(first->WaitForExit().ok());
  }
  const auto connector = Open(address, TransportChoice::kAuto);
  const OwnedPut put("k", "bytes");
  EXPECT_EQ(connector->BatchedContains(Keys{"k"}), 0u);
  EXPECT_FALSE(connector->Get("k", allocator_).has_value());
  EXPECT_FALSE(connector->Put(put.item()).ok());
  EXPECT_TRUE(absl::IsUnavailable(connector->Ping()));

  const auto second = StartServer({"--listen=" + address});
  ASSERT_TRUE(AwaitPing(*connector));
  absl::Status stored;
  for (int i = 0; i < 100'000 && (i == 0 || !stored.ok()); ++i) {
    stored = connector->Put(put.item());
  }
  EXPECT_TRUE(stored.ok()) << stored;
  EXPECT_EQ(TextOf(connector->Get("k", allocator_)->bytes), "bytes");
}

TEST_F(ConnectorIntegration, ADurablePutThatCannotBePromisedTellsADiskFromANode) {
  const auto server = StartServer();  // Without a disk.
  ClientOptions options;
  options.nodes = {server->listen()};
  const auto connector = *Connector::Open(options, {.durability = Durability::kProcess});
  ASSERT_TRUE(AwaitPing(*connector));
  const OwnedPut put("k", "bytes");
  EXPECT_EQ(connector->Put(put.item()).code(), absl::StatusCode::kResourceExhausted);
  server->Signal(SIGKILL);
  ASSERT_TRUE(server->WaitForExit().ok());
  EXPECT_EQ(connector->Put(put.item()).code(), absl::StatusCode::kUnavailable);
}

TEST_F(ConnectorIntegration, APinnedPrefixOutlivesAnEvictionStormUntilItsGet) {
  // 64 MiB, and a policy that does not favour what has been read.
  const auto server = StartServer({"--eviction_policy=fifo"});
  const auto connector = Open(server->listen(), TransportChoice::kShm);
  ASSERT_TRUE(AwaitPing(*connector));
  const std::string block(1 << 20, 'x');
  const auto storm = [&](const std::string& name) {
    for (int i = 0; i < 100; ++i) {
      const OwnedPut put(name + std::to_string(i), block);
      EXPECT_TRUE(connector->Put(put.item()).ok());
    }
  };
  const OwnedPut a("a", block), b("b", block);
  for (const absl::Status& status : connector->BatchedPut(std::vector{a.item(), b.item()})) {
    ASSERT_TRUE(status.ok()) << status;
  }
  ASSERT_EQ(connector->BatchedAsyncContains({"request", true}, Keys{"a", "b", "c"}), 2u);

  storm("first/");

  EXPECT_EQ(connector->BatchedGetNonBlocking("request", Keys{"a", "b"}, allocator_).size(), 2u);
  storm("second/");
  storm("third/");
  EXPECT_EQ(connector->BatchedContainsBitmap(Keys{"a", "b"}),
            (std::vector<bool>{false, false}))
      << "nothing holds them any more";
}

}  // namespace
}  // namespace kvasir
