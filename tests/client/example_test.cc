// The examples of docs/sdk.md, compiled and run. sdk_doc_test.py compares the two.

#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/async_client.h"
#include "client/client.h"
#include "tests/support/server_process.h"

namespace kvasir {
namespace {

// A block of the engine's pool, and the key it goes by.
struct Chunk {
  std::string key;
  std::span<std::byte> memory;
};

absl::StatusOr<std::unique_ptr<Client>> ConnectTo(const std::string& address) {
  ClientOptions options;
  options.nodes = {address};  // "host:port", or "name=host:port" to place keys by a name
  options.timeout = std::chrono::milliseconds(500);
  return Client::Connect(options);
}

size_t Store(Client& client, const std::vector<Chunk>& chunks, std::string_view shape) {
  std::vector<std::span<const std::byte>> payloads;
  for (const Chunk& chunk : chunks) payloads.push_back(chunk.memory);
  std::vector<PutItem> items;
  for (size_t i = 0; i < chunks.size(); ++i) {
    items.push_back({.key = chunks[i].key,
                     .payload = std::span(&payloads[i], 1),
                     .attributes = shape});
  }
  size_t stored = 0;
  for (const absl::Status& status : client.Put(items, {})) {
    if (status.ok() || absl::IsAlreadyExists(status)) ++stored;
  }
  return stored;
}

// How many chunks of the prefix are in place now; the engine computes the rest.
size_t Fetch(Client& client, const std::vector<Chunk>& chunks) {
  std::vector<GetItem> items;
  for (const Chunk& chunk : chunks) {
    items.push_back({.key = chunk.key, .into = std::span(&chunk.memory, 1)});
  }
  const std::vector<absl::Status> statuses = client.Get(items, {});
  size_t prefix = 0;
  while (prefix < statuses.size() && statuses[prefix].ok()) ++prefix;
  return prefix;
}

// Keeps each block in a buffer of its own, with what its writer said of it.
class BufferSink final : public Sink {
 public:
  struct Block {
    std::string shape;
    std::vector<std::byte> bytes;
  };
  void Place(std::span<Landing> landings) override {
    for (Landing& landing : landings) {
      Block& block = blocks[landing.index];
      block.shape = landing.attributes;
      block.bytes.resize(landing.size_bytes);
      landing.local = block.bytes;
    }
  }
  std::map<size_t, Block> blocks;  // by position in the keys
};

// Looks keys up without waiting, and then waits for the answer all the same.
std::vector<absl::Status> Ask(AsyncClient& async, std::span<const std::string_view> keys) {
  const absl::StatusOr<OperationId> id = async.SubmitExists(keys, {});
  if (!id.ok()) return {};
  while (true) {
    pollfd ready{.fd = async.event_fd(), .events = POLLIN, .revents = 0};
    poll(&ready, 1, /*timeout=*/-1);
    for (Completion& done : async.Drain()) {
      if (done.id == *id) return std::move(done.results);
    }
  }
}

TEST(SdkExample, AFreshClientFindsWhatAnotherStored) {
  const auto server = ServerProcess::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const auto writer = ConnectTo((*server)->listen());
  ASSERT_TRUE(writer.ok()) << writer.status();

  std::vector<std::byte> pool(3 * 4096, std::byte{7});
  const auto registered = (*writer)->Register(pool);
  ASSERT_TRUE(registered.ok()) << registered.status();
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < 3; ++i) {
    chunks.push_back({"chunk-" + std::to_string(i), std::span(pool).subspan(i * 4096, 4096)});
  }
  EXPECT_EQ(Store(**writer, chunks, "[2, 16, 128] bf16"), 3u);

  const auto reader = ConnectTo((*server)->listen());
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<std::byte> fetched(pool.size());
  std::vector<Chunk> wanted = chunks;
  for (size_t i = 0; i < 3; ++i) wanted[i].memory = std::span(fetched).subspan(i * 4096, 4096);
  wanted.push_back({"never stored", std::span(fetched).first(4096)});
  EXPECT_EQ(Fetch(**reader, wanted), 3u);
  EXPECT_EQ(fetched, pool);

  BufferSink sink;
  const std::vector<std::string_view> keys{"chunk-2", "never stored"};
  EXPECT_TRUE((*reader)->Get(keys, sink, {})[0].ok());
  EXPECT_EQ(sink.blocks.at(0).shape, "[2, 16, 128] bf16");
  EXPECT_EQ(sink.blocks.at(0).bytes.size(), 4096u);

  const auto async = AsyncClient::Create(reader->get(), {});
  ASSERT_TRUE(async.ok()) << async.status();
  const std::vector<absl::Status> found = Ask(**async, keys);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_TRUE(found[0].ok());
  EXPECT_TRUE(absl::IsNotFound(found[1]));
}

}  // namespace
}  // namespace kvasir
