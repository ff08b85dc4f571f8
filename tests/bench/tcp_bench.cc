// The tcp transport against bare send and recv: 64 blocks of 1 MiB each way, on one
// connection and on two, over loopback. Both sides move the same memory with the same
// socket options, one thread a connection at either end; ours checks a token for every
// piece and hashes every byte on both ends of a put and on the client's end of a get.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/fd.h"
#include "base/limits.h"
#include "rdma/tcp_client.h"
#include "rdma/tcp_server.h"
#include "rdma/tcp_socket.h"
#include "tests/bench/measure.h"
#include "tests/support/fake_gate.h"

namespace kvasir::bench {
namespace {

constexpr size_t kBlocks = 64;
constexpr uint64_t kBlockBytes = kMiB;
constexpr uint64_t kTotalBytes = kBlocks * kBlockBytes;
constexpr int kRounds = 15;
constexpr double kTarget = 0.8;
constexpr SessionId kSession{.high = 1, .low = 1};

std::span<std::byte> MapMemory(size_t bytes) {
  void* const at =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  KV_CHECK(at != MAP_FAILED);
  madvise(at, bytes, MADV_HUGEPAGE);
  std::memset(at, 1, bytes);
  return {static_cast<std::byte*>(at), bytes};
}

// The part of all bytes that lane `lane` of `lanes` moves.
std::span<std::byte> Share(std::span<std::byte> bytes, size_t lane, size_t lanes) {
  return bytes.subspan(lane * (kTotalBytes / lanes), kTotalBytes / lanes);
}

// Runs `work(i)` for each i at once, in threads that stay.
class Crew {
 public:
  explicit Crew(size_t size) {
    for (size_t i = 0; i < size; ++i) {
      threads_.push_back(std::make_unique<ThreadPool>(ThreadPool::Options{.name = "bench"}));
    }
  }
  void Run(const std::function<void(size_t)>& work) {
    absl::BlockingCounter done(static_cast<int>(threads_.size()));
    for (size_t i = 0; i < threads_.size(); ++i) {
      KV_CHECK(threads_[i]->Submit([&, i] {
        work(i);
        done.DecrementCount();
      }));
    }
    done.Wait();
  }

 private:
  std::vector<std::unique_ptr<ThreadPool>> threads_;
};

void SendAll(int fd, std::span<const std::byte> from) {
  while (!from.empty()) {
    const ssize_t n = send(fd, from.data(), std::min(from.size(), kBlockBytes), MSG_NOSIGNAL);
    KV_CHECK(n > 0);
    from = from.subspan(static_cast<size_t>(n));
  }
}

void ReceiveAll(int fd, std::span<std::byte> to) {
  while (!to.empty()) {
    const ssize_t n = recv(fd, to.data(), std::min(to.size(), kBlockBytes), 0);
    KV_CHECK(n > 0);
    to = to.subspan(static_cast<size_t>(n));
  }
}

// Blocking connections to ourselves. One byte asks for a get, or confirms a put.
class Raw {
 public:
  Raw(size_t lanes, const SocketOptions& options, std::span<std::byte> region,
      std::span<std::byte> local)
      : region_(region), local_(local), crew_(2 * lanes) {
    const auto listener = ListenTcp({.host = "127.0.0.1"}, options);
    KV_CHECK(listener.ok());
    for (size_t i = 0; i < lanes; ++i) {
      auto client = ConnectTcp(*LocalAddress(listener->get()), options, Clock::Real(),
                               Clock::Real()->Now() + std::chrono::seconds(5));
      KV_CHECK(client.ok());
      UniqueFd server;
      while (!server.valid()) server.reset(accept(listener->get(), nullptr, nullptr));
      KV_CHECK(TuneLaneSocket(server.get(), options).ok());
      TuneConnection(server.get());
      MakeBlocking(client->get());
      clients_.push_back(*std::move(client));
      servers_.push_back(std::move(server));
    }
  }

  void Get() {
    Both([&](size_t i) {
      Signal(clients_[i]);
      ReceiveAll(clients_[i].get(), Share(local_, i, clients_.size()));
    }, [&](size_t i) {
      Await(servers_[i]);
      SendAll(servers_[i].get(), Share(region_, i, servers_.size()));
    });
  }
  void Put() {
    Both([&](size_t i) {
      SendAll(clients_[i].get(), Share(local_, i, clients_.size()));
      Await(clients_[i]);
    }, [&](size_t i) {
      ReceiveAll(servers_[i].get(), Share(region_, i, servers_.size()));
      Signal(servers_[i]);
    });
  }

 private:
  static void MakeBlocking(int fd) {
    KV_CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0);
  }
  static void Signal(const UniqueFd& fd) { SendAll(fd.get(), AsBytes("!")); }
  static void Await(const UniqueFd& fd) {
    std::byte byte;
    ReceiveAll(fd.get(), {&byte, 1});
  }
  void Both(const std::function<void(size_t)>& client,
            const std::function<void(size_t)>& server) {
    crew_.Run([&](size_t i) {
      return i < clients_.size() ? client(i) : server(i - clients_.size());
    });
  }

  const std::span<std::byte> region_;
  const std::span<std::byte> local_;
  Crew crew_;
  std::vector<UniqueFd> clients_;
  std::vector<UniqueFd> servers_;
};

// The transport, with a gate that holds all leases for ever.
class Ours {
 public:
  Ours(size_t lanes, const SocketOptions& options, FakeGate* gate,
       std::span<std::byte> local)
      : gate_(gate), server_(MakeServer(lanes, options, gate)),
        client_({.socket = options}, Clock::Real()), crew_(lanes) {
    for (size_t i = 0; i < lanes; ++i) {
      loops_.push_back(std::make_unique<Ticker>("loop", std::chrono::milliseconds(0), [this, i] {
        server_->Poll(i, std::chrono::milliseconds(100));
      }));
    }
    gate->Reset();
    for (size_t i = 0; i < lanes; ++i) {
      const LaneId id{i + 1};
      auto lane = client_.Connect(
          [&](std::string_view hello) { return server_->Accept(kSession, id, hello); },
          Soon());
      KV_CHECK(lane.ok());
      lanes_.push_back(*std::move(lane));
      gets_.push_back(MakeBatch(id, Access::kRead, Share(local, i, lanes)));
    }
    // The same memory again: gets and puts never run at once here.
    gate_->Rewind();
    for (size_t i = 0; i < lanes; ++i) {
      puts_.push_back(MakeBatch(LaneId{i + 1}, Access::kWrite, Share(local, i, lanes)));
    }
  }

  void Get() { Move(gets_); }
  void Put() { Move(puts_); }

 private:
  struct Batch {
    std::vector<std::span<std::byte>> slices;
    std::vector<Transfer> transfers;
  };

  static Instant Soon() { return Clock::Real()->Now() + std::chrono::seconds(30); }
  static std::unique_ptr<TcpServer> MakeServer(size_t lanes, const SocketOptions& options,
                                               FakeGate* gate) {
    auto server =
        TcpServer::Create({.loops = lanes, .socket = options}, gate, Clock::Real());
    KV_CHECK(server.ok());
    return *std::move(server);
  }
  Batch MakeBatch(LaneId lane, Access access, std::span<std::byte> local) {
    Batch batch;
    for (size_t at = 0; at < local.size(); at += kBlockBytes) {
      batch.slices.push_back(local.subspan(at, kBlockBytes));
      batch.transfers.push_back({.token = gate_->Grant({.session = kSession,
                                                        .lane = lane,
                                                        .access = access,
                                                        .size_bytes = kBlockBytes})});
    }
    for (size_t i = 0; i < batch.transfers.size(); ++i) {
      batch.transfers[i].local = std::span(&batch.slices[i], 1);
    }
    return batch;
  }
  void Move(std::vector<Batch>& batches) {
    crew_.Run([&](size_t i) {
      lanes_[i]->Run(batches[i].transfers, Soon());
      for (const Transfer& transfer : batches[i].transfers) KV_CHECK(transfer.status.ok());
    });
  }

  FakeGate* const gate_;
  const std::unique_ptr<TcpServer> server_;
  TcpClient client_;
  Crew crew_;
  std::vector<std::unique_ptr<Ticker>> loops_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<Batch> gets_;
  std::vector<Batch> puts_;
};

// Processor seconds of this process, both ends together.
double CpuSeconds() {
  rusage usage;
  KV_CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Moves everything once: GB/s is the figure, and *cpu collects CPU seconds a GB.
double GigabytesPerSecond(const std::function<void()>& work, std::vector<double>* cpu) {
  constexpr double kGigabytes = static_cast<double>(kTotalBytes) / 1e9;
  const double before = CpuSeconds();
  const double rate = kGigabytes / Seconds(work);
  cpu->push_back((CpuSeconds() - before) / kGigabytes);
  return rate;
}

void Compare(size_t lanes, const SocketOptions& options, FakeGate* gate,
             std::span<std::byte> local) {
  Raw raw(lanes, options, gate->region().bytes(), local);
  Ours ours(lanes, options, gate, local);
  std::vector<double> cpu[4];
  const Side sides[] = {
      {"raw get", [&] { return GigabytesPerSecond([&] { raw.Get(); }, &cpu[0]); }},
      {"tcp get", [&] { return GigabytesPerSecond([&] { ours.Get(); }, &cpu[1]); }},
      {"raw put", [&] { return GigabytesPerSecond([&] { raw.Put(); }, &cpu[2]); }},
      {"tcp put", [&] { return GigabytesPerSecond([&] { ours.Put(); }, &cpu[3]); }},
  };
  const std::vector<double> medians = InterleavedMedians(sides, kRounds);
  for (size_t i = 0; i < std::size(sides); ++i) {
    std::printf("%zu x 1 MiB, %zu lane(s), %s: %.2f GB/s, %.2f CPU-s a GB\n", kBlocks, lanes,
                sides[i].name.c_str(), medians[i], Median(cpu[i]));
  }
  PrintAtLeast(fmt::format("tcp_get_over_raw_{}_lanes", lanes), medians[1] / medians[0],
               kTarget);
  PrintAtLeast(fmt::format("tcp_put_over_raw_{}_lanes", lanes), medians[3] / medians[2],
               kTarget);
}

void Main() {
  FakeGate gate(kTotalBytes);
  std::memset(gate.region().bytes().data(), 2, kTotalBytes);
  const std::span<std::byte> local = MapMemory(kTotalBytes);
  for (const size_t lanes : {1, 2}) Compare(lanes, SocketOptions{}, &gate, local);
}

}  // namespace
}  // namespace kvasir::bench

int main() { kvasir::bench::Main(); }
