// Gets and puts through the SDK against a real server, with checksums on, beside what
// the same bytes cost without a store: memcpy from another process's memory, raw
// sockets, Redis, and bytes inside gRPC messages.

#include <grpcpp/grpcpp.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "client/client.h"
#include "tests/bench/baselines.h"
#include "tests/bench/bench_server.h"
#include "tests/bench/measure.h"
#include "tests/bench/redis_baseline.h"

namespace kvasir::bench {
namespace {

constexpr size_t kBlocks = 64;
constexpr size_t kBlockBytes = kMiB;
constexpr size_t kTotalBytes = kBlocks * kBlockBytes;
constexpr size_t kSmallBytes = 64 * kKiB;
constexpr int kRounds = 9;
constexpr int kSmallCalls = 1000;

double GbPerSecond(double seconds) { return kTotalBytes / seconds / 1e9; }

// Page-aligned memory that is already faulted in, as an engine's pinned pool is.
std::span<std::byte> FaultedMemory(size_t bytes) {
  void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  KV_CHECK(at != MAP_FAILED);
  madvise(at, bytes, MADV_HUGEPAGE);
  std::memset(at, 1, bytes);
  return {static_cast<std::byte*>(at), bytes};
}

// Memory that another process has filled and shares, mapped read-only here.
std::span<const std::byte> OtherProcessMemory(size_t bytes) {
  const UniqueFd memory(memfd_create("bench", MFD_CLOEXEC));
  KV_CHECK(ftruncate(memory.get(), static_cast<off_t>(bytes)) == 0);
  const pid_t filler = fork();
  KV_CHECK(filler >= 0);
  if (filler == 0) {
    void* const at =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    madvise(at, bytes, MADV_HUGEPAGE);
    std::memset(at, 7, bytes);
    _exit(0);
  }
  waitpid(filler, nullptr, 0);
  void* const at = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, memory.get(), 0);
  KV_CHECK(at != MAP_FAILED);
  madvise(at, bytes, MADV_HUGEPAGE);
  madvise(at, bytes, MADV_POPULATE_READ);
  return {static_cast<const std::byte*>(at), bytes};
}

// A connected client with registered memory and `blocks` stored blocks to get.
class Caller {
 public:
  Caller(const BenchServer& server, ClientOptions options, std::string prefix, size_t blocks,
         size_t block_bytes)
      : client_(server.Connect(options)), memory_(FaultedMemory(blocks * block_bytes)) {
    handle_ = std::move(client_->Register(memory_)).value();
    for (size_t i = 0; i < blocks; ++i) {
      keys_.push_back(prefix + "/" + std::to_string(i) + std::string(60, 'k'));
      slices_.push_back(memory_.subspan(i * block_bytes, block_bytes));
      sources_.push_back(slices_.back());
    }
    Put(/*replace=*/true);
  }

  void Put(bool replace) {
    std::vector<PutItem> items;
    for (size_t i = 0; i < keys_.size(); ++i) {
      items.push_back({.key = keys_[i], .payload = {&sources_[i], 1}, .attributes = {}});
    }
    for (const absl::Status& status : client_->Put(items, {.replace = replace})) Check(status);
  }

  // Gets blocks [first, first + count) into place.
  void Get(size_t first, size_t count) {
    std::vector<GetItem> items;
    for (size_t i = first; i < first + count; ++i) {
      items.push_back({.key = keys_[i], .into = {&slices_[i], 1}});
    }
    for (const absl::Status& status : client_->Get(items, {})) Check(status);
  }

  void RemoveAll() {
    const std::vector<std::string_view> views(keys_.begin(), keys_.end());
    client_->Remove(views, {});
  }

  std::span<std::byte> memory() { return memory_; }

 private:
  static void Check(const absl::Status& status) {
    if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    KV_CHECK(status.ok());
  }

  const std::unique_ptr<Client> client_;
  const std::span<std::byte> memory_;
  std::unique_ptr<MemoryHandle> handle_;
  std::vector<std::string> keys_;
  std::vector<std::span<std::byte>> slices_;
  std::vector<std::span<const std::byte>> sources_;
};

ClientOptions Options(TransportChoice transport, size_t lanes, bool verify = true) {
  ClientOptions options;
  options.transport = transport;
  options.lanes_per_node = lanes;
  options.verify_checksums = verify;
  options.timeout = std::chrono::seconds(20);
  return options;
}

void CompareShm(const BenchServer& server, std::span<const std::byte> shared) {
  Caller verified(server, Options(TransportChoice::kShm, 1), "shm", kBlocks, kBlockBytes);
  Caller unverified(server, Options(TransportChoice::kShm, 1, false), "shm-unverified",
                    kBlocks, kBlockBytes);
  const std::span<std::byte> to = FaultedMemory(kTotalBytes);
  const Side sides[] = {
      {"get", [&] { return Seconds([&] { verified.Get(0, kBlocks); }); }},
      {"get, checksums off", [&] { return Seconds([&] { unverified.Get(0, kBlocks); }); }},
      {"memcpy",
       [&] { return Seconds([&] { std::memcpy(to.data(), shared.data(), kTotalBytes); }); }},
  };
  const std::vector<double> s = InterleavedMedians(sides, kRounds);
  std::printf("shm get of 64 x 1 MiB: %.2f GB/s; checksums off %.2f; memcpy %.2f\n",
              GbPerSecond(s[0]), GbPerSecond(s[1]), GbPerSecond(s[2]));
  PrintAtLeast("shm_get_64x1MiB_vs_memcpy", s[2] / s[0], 0.6);
  PrintAtLeast("shm_get_64x1MiB_checksums_off_vs_memcpy", s[2] / s[1], 0.8);
}

// Runs `work(i)` for i in [0, ways) at once.
void AtOnce(size_t ways, const std::function<void(size_t)>& work) {
  std::vector<std::thread> threads;
  for (size_t i = 1; i < ways; ++i) threads.emplace_back(work, i);
  work(0);
  for (std::thread& thread : threads) thread.join();
}

void CompareTcp(const BenchServer& server, const BaselineServers& baselines, size_t lanes) {
  std::vector<std::unique_ptr<Caller>> callers;
  std::vector<RawSocket> sockets;
  for (size_t i = 0; i < lanes; ++i) {
    callers.push_back(std::make_unique<Caller>(
        server, Options(TransportChoice::kTcp, 1), "tcp" + std::to_string(i),
        kBlocks / lanes, kBlockBytes));
    sockets.emplace_back(baselines.socket_port());
  }
  const auto put = [&](size_t i) { callers[i]->Put(/*replace=*/true); };
  const auto get = [&](size_t i) { callers[i]->Get(0, kBlocks / lanes); };
  const auto raw_get = [&](size_t i) { sockets[i].Receive(callers[i]->memory()); };
  const auto raw_put = [&](size_t i) { sockets[i].Send(callers[i]->memory()); };
  const Side sides[] = {
      {"get", [&] { return Seconds([&] { AtOnce(lanes, get); }); }},
      {"raw receive", [&] { return Seconds([&] { AtOnce(lanes, raw_get); }); }},
      {"put", [&] { return Seconds([&] { AtOnce(lanes, put); }); }},
      {"raw send", [&] { return Seconds([&] { AtOnce(lanes, raw_put); }); }},
  };
  const std::vector<double> s = InterleavedMedians(sides, kRounds);
  std::printf("tcp, 64 x 1 MiB, %zu lane(s): get %.2f GB/s, raw %.2f; put %.2f, raw %.2f\n",
              lanes, GbPerSecond(s[0]), GbPerSecond(s[1]), GbPerSecond(s[2]),
              GbPerSecond(s[3]));
  const std::string suffix = "_" + std::to_string(lanes) + "_lanes_vs_raw_sockets";
  PrintAtLeast("tcp_get_64x1MiB" + suffix, s[1] / s[0], 0.8);
  PrintAtLeast("tcp_put_64x1MiB" + suffix, s[3] / s[2], 0.8);
}

// 64 messages of 1 MiB on one stream, requests sent ahead.
void GrpcGet(v1::BareService::Stub* stub, std::span<std::byte> into) {
  grpc::ClientContext context;
  const auto stream = stub->EchoStream(&context);
  v1::EchoStreamRequest request;
  request.mutable_request()->set_reply_bytes(kBlockBytes);
  for (size_t i = 0; i < kBlocks; ++i) KV_CHECK(stream->Write(request));
  stream->WritesDone();
  v1::EchoStreamResponse response;
  for (size_t i = 0; i < kBlocks; ++i) {
    KV_CHECK(stream->Read(&response));
    const std::string& payload = response.response().payload();
    std::memcpy(into.data() + i * kBlockBytes, payload.data(), payload.size());
  }
  KV_CHECK(stream->Finish().ok());
}

void ComparePeers(const BenchServer& server, const BaselineServers& baselines,
                  RedisBaseline* redis) {
  Caller caller(server, Options(TransportChoice::kTcp, 1), "peers", kBlocks, kBlockBytes);
  const auto stub = BareStub(baselines.grpc_address());
  const std::span<std::byte> to = FaultedMemory(kTotalBytes);
  redis->Fill(kBlocks, kBlockBytes);
  const Side sides[] = {
      {"get", [&] { return Seconds([&] { caller.Get(0, kBlocks); }); }},
      {"redis", [&] { return Seconds([&] { redis->PipelinedGet(kBlocks, to); }); }},
      {"grpc", [&] { return Seconds([&] { GrpcGet(stub.get(), to); }); }},
  };
  const std::vector<double> s = InterleavedMedians(sides, 5);
  std::printf("tcp get of 64 x 1 MiB: %.2f GB/s; Redis pipelined %.2f; gRPC messages %.2f\n",
              GbPerSecond(s[0]), GbPerSecond(s[1]), GbPerSecond(s[2]));
  PrintAtLeast("tcp_get_64x1MiB_vs_redis", s[1] / s[0], 3);
  PrintAtLeast("tcp_get_64x1MiB_vs_grpc_messages", s[2] / s[0], 3);
}

double SmallMedianMicroseconds(const std::function<void()>& call) {
  std::vector<double> us;
  for (int i = 0; i < kSmallCalls; ++i) us.push_back(Seconds(call) * 1e6);
  return Median(std::move(us));
}

void CompareSmallGet(const BenchServer& server, const BaselineServers& baselines) {
  Caller tcp(server, Options(TransportChoice::kTcp, 1), "small-tcp", 1, kSmallBytes);
  Caller shm(server, Options(TransportChoice::kShm, 1), "small-shm", 1, kSmallBytes);
  RawSocket socket(baselines.socket_port());
  const auto stub = BareStub(baselines.grpc_address());
  const std::span<std::byte> to = FaultedMemory(kSmallBytes);
  v1::EchoRequest request;
  request.add_parts(std::string(80, 'k'));
  request.set_reply_bytes(160);
  const auto baseline = [&] {
    grpc::ClientContext context;
    v1::EchoResponse response;
    KV_CHECK(stub->Echo(&context, request, &response).ok());
    socket.Receive(to);
  };
  const Side sides[] = {
      {"tcp", [&] { return SmallMedianMicroseconds([&] { tcp.Get(0, 1); }); }},
      {"shm", [&] { return SmallMedianMicroseconds([&] { shm.Get(0, 1); }); }},
      {"unary and socket", [&] { return SmallMedianMicroseconds(baseline); }},
  };
  const std::vector<double> us = InterleavedMedians(sides, kRounds);
  std::printf("64 KiB get, p50: tcp %.1f us, shm %.1f us; bare unary and raw socket %.1f us\n",
              us[0], us[1], us[2]);
  PrintAtMost("get_64KiB_p50_tcp_vs_unary_and_socket", us[0] / us[2], 0.9);
  PrintAtMost("get_64KiB_p50_shm_vs_unary_and_socket", us[1] / us[2], 0.8);
}

int Main() {
  // Everything that forks comes before gRPC and threads.
  const std::span<const std::byte> shared = OtherProcessMemory(kTotalBytes);
  const BaselineServers baselines;
  RedisBaseline redis;
  const std::unique_ptr<BenchServer> server = BenchServer::Start("2GiB");
  CompareShm(*server, shared);
  CompareTcp(*server, baselines, 1);
  CompareTcp(*server, baselines, 2);
  ComparePeers(*server, baselines, &redis);
  CompareSmallGet(*server, baselines);
  return 0;
}

}  // namespace
}  // namespace kvasir::bench

int main() { return kvasir::bench::Main(); }
