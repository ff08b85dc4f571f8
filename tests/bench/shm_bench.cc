// shm beside a two-process memcpy: another process owns the shared memory and has filled
// it, this one copies out of its mapping into private memory that is faulted in.
#include <fmt/core.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limits.h"
#include "rdma/shm_client.h"
#include "rdma/shm_mapping.h"
#include "rdma/shm_region_cache.h"
#include "rdma/shm_server.h"
#include "rdma/transport.h"
#include "tests/bench/measure.h"
#include "tests/support/fake_gate.h"

namespace kvasir::bench {
namespace {

constexpr size_t kKeys = 64;
constexpr uint64_t kBlockBytes = 1 * kMiB;
constexpr uint64_t kBatchBytes = kKeys * kBlockBytes;
constexpr uint64_t kSmallBytes = 64 * kKiB;
// Many short runs: on a machine with other work a long one is always interrupted.
constexpr int kRounds = 41;
constexpr SessionId kSession{.high = 1, .low = 2};
constexpr LaneId kLane{1};

// Answers hellos with offers, between polls, until the other end closes.
void Serve(FakeGate* gate, const std::string& directory, int control) {
  auto server = ShmServer::Create({.directory = directory}, gate, Clock::Real());
  KV_CHECK(server.ok() && (*server)->Export(gate->region()).ok());
  std::array<char, kMaxEndpointBytes> buffer;
  while (true) {
    (*server)->Poll(0, std::chrono::milliseconds(5));
    const ssize_t got = recv(control, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got == 0) return;
    if (got < 0) continue;
    const auto offer =
        (*server)->Accept(kSession, kLane, {buffer.data(), static_cast<size_t>(got)});
    KV_CHECK(offer.ok());
    KV_CHECK(send(control, offer->data(), offer->size(), 0) > 0);
  }
}

// The server in a process of its own, and one lane to it.
class Rig {
 public:
  Rig() {
    char name[] = "/tmp/kvasir-bench-XXXXXX";
    KV_CHECK(mkdtemp(name) != nullptr);
    directory_ = name;
    for (size_t i = 0; i < kKeys; ++i) reads_.push_back(Grant(Access::kRead));
    for (size_t i = 0; i < kKeys; ++i) writes_.push_back(Grant(Access::kWrite));
    int ends[2];
    KV_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    child_ = fork();
    KV_CHECK(child_ >= 0);
    if (child_ == 0) {
      close(ends[0]);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      RunChild(ends[1]);
    }
    close(ends[1]);
    control_.reset(ends[0]);
    Connect();
  }
  ~Rig() {
    lane_.reset();
    control_.reset();
    waitpid(child_, nullptr, 0);
    rmdir(directory_.c_str());
  }

  Lane* lane() { return lane_.get(); }
  ClientTransport* client() { return client_.get(); }
  const FakeGate& gate() const { return gate_; }
  const std::vector<Token>& reads() const { return reads_; }
  const std::vector<Token>& writes() const { return writes_; }

 private:
  Token Grant(Access access) {
    return gate_.Grant({.session = kSession,
                        .lane = kLane,
                        .access = access,
                        .size_bytes = kBlockBytes});
  }
  [[noreturn]] void RunChild(int control) {
    uint64_t word = 1;
    for (const Token& token : reads_) {
      const auto bytes = gate_.Bytes(token);
      for (size_t i = 0; i < bytes.size(); i += sizeof(word)) {
        word = word * 6364136223846793005 + 1442695040888963407;
        std::memcpy(bytes.data() + i, &word, sizeof(word));
      }
    }
    Serve(&gate_, directory_, control);
    _exit(0);
  }
  void Connect() {
    auto lane = client_->Connect(
        [this](std::string_view hello) -> absl::StatusOr<std::string> {
          std::array<char, kMaxEndpointBytes> buffer;
          KV_CHECK(send(control_.get(), hello.data(), hello.size(), 0) > 0);
          const ssize_t got = recv(control_.get(), buffer.data(), buffer.size(), 0);
          KV_CHECK(got > 0);
          return std::string(buffer.data(), static_cast<size_t>(got));
        },
        Clock::Real()->Now() + std::chrono::seconds(30));
    KV_CHECK(lane.ok());
    lane_ = *std::move(lane);
  }

  FakeGate gate_{2 * kBatchBytes};
  std::string directory_;
  std::vector<Token> reads_;
  std::vector<Token> writes_;
  pid_t child_ = -1;
  UniqueFd control_;
  const std::unique_ptr<ClientTransport> client_ = ShmClient::Create({}, Clock::Real());
  std::unique_ptr<Lane> lane_;
};

// One batch of whole blocks, over memory that is private and faulted in.
class Batch {
 public:
  Batch(const std::vector<Token>& tokens, std::span<std::byte> memory) {
    slices_.resize(tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) {
      slices_[i] = memory.subspan(i * kBlockBytes, tokens[i].extent.size_bytes);
      transfers_.push_back({.token = tokens[i], .local = {&slices_[i], 1}});
    }
  }
  void Run(Lane* lane, bool checksums) {
    for (Transfer& transfer : transfers_) transfer.want_checksum = checksums;
    lane->Run(transfers_, Clock::Real()->Now() + std::chrono::seconds(30));
    for (const Transfer& transfer : transfers_) KV_CHECK(transfer.status.ok());
  }
  const std::vector<Transfer>& transfers() const { return transfers_; }

 private:
  std::vector<std::span<std::byte>> slices_;
  std::vector<Transfer> transfers_;
};

// GB/s of one batch.
std::function<double()> Rate(std::function<void()> batch) {
  return [batch = std::move(batch)] {
    return static_cast<double>(kBatchBytes) / Seconds(batch) / 1e9;
  };
}

std::vector<double> MeasureRates(std::span<const Side> sides) {
  std::vector<double> rates = InterleavedMedians(sides, kRounds);
  for (size_t i = 0; i < sides.size(); ++i) {
    fmt::print("{:<48} {:6.2f} GB/s\n", sides[i].name, rates[i]);
  }
  return rates;
}

void MeasureGets(Rig* rig, std::span<std::byte> memory) {
  // The baseline reads the very pages that the lane reads.
  const auto mapping =
      ShmMapping::Map(rig->gate().region().memfd(), {.size_bytes = kBatchBytes});
  KV_CHECK(mapping.ok());
  const std::byte* const shared = mapping->bytes().data();
  PopulateShmPages(mapping->bytes(), Clock::Real(), Instant::max());
  Batch gets(rig->reads(), memory);
  const std::vector<Side> sides = {
      {"two-process memcpy, 64 MiB in one",
       Rate([&] { std::memcpy(memory.data(), shared, kBatchBytes); })},
      {"two-process memcpy, 64 x 1 MiB", Rate([&] {
         for (uint64_t at = 0; at < kBatchBytes; at += kBlockBytes) {
           std::memcpy(memory.data() + at, shared + at, kBlockBytes);
         }
       })},
      {"shm get, 64 x 1 MiB, checksums", Rate([&] { gets.Run(rig->lane(), true); })},
      {"shm get, 64 x 1 MiB, no checksums", Rate([&] { gets.Run(rig->lane(), false); })},
  };
  const std::vector<double> rates = MeasureRates(sides);
  const double memcpy_rate = std::max(rates[0], rates[1]);
  PrintAtLeast("shm_get_64x1MiB", rates[2] / memcpy_rate, 0.6);
  PrintAtLeast("shm_get_64x1MiB_nochecksum", rates[3] / memcpy_rate, 0.8);
}

// For information: both processes copy, and hash what they copied.
void MeasurePuts(Rig* rig, std::span<std::byte> memory) {
  Batch puts(rig->writes(), memory);
  MeasureRates(std::vector<Side>{
      {"shm put, 64 x 1 MiB, checksums", Rate([&] { puts.Run(rig->lane(), true); })},
      {"shm put, 64 x 1 MiB, checksums at the server alone",
       Rate([&] { puts.Run(rig->lane(), false); })},
  });
}

// For information: the share of the data path in a single small operation.
void MeasureLatency(Rig* rig, std::span<std::byte> memory) {
  constexpr int kTimes = 2000;
  const auto p50_us = [&](const Token& whole) {
    Token token = whole;
    if (token.access == Access::kRead) token.extent.size_bytes = kSmallBytes;
    Batch batch({token}, memory);
    std::vector<double> us;
    for (int i = 0; i < kTimes; ++i) {
      us.push_back(1e6 * Seconds([&] { batch.Run(rig->lane(), true); }));
    }
    return Median(std::move(us));
  };
  fmt::print("{:<48} {:6.1f} us p50\n", "shm get, one of 64 KiB, granted",
             p50_us(rig->reads()[0]));
  fmt::print("{:<48} {:6.1f} us p50\n", "shm put, one of 1 MiB, granted",
             p50_us(rig->writes()[0]));
}

// What arrived is what was there: a benchmark of wrong bytes is worth nothing.
void CheckBytes(Rig* rig, std::span<std::byte> memory) {
  Batch gets(rig->reads(), memory);
  gets.Run(rig->lane(), true);
  for (const Transfer& transfer : gets.transfers()) {
    const auto bytes = rig->gate().Bytes(transfer.token);
    KV_CHECK(transfer.checksum == BlockChecksum(transfer.checksum_seed, bytes));
    KV_CHECK(std::memcmp(transfer.local[0].data(), bytes.data(), bytes.size()) == 0);
  }
}

void Main() {
  Rig rig;
  // Page-aligned, as the buffers of engines are. Faulted in by the fill.
  const std::unique_ptr<std::byte, void (*)(void*)> owned(
      static_cast<std::byte*>(std::aligned_alloc(4096, kBatchBytes)), std::free);
  const std::span<std::byte> memory(owned.get(), kBatchBytes);
  std::fill(memory.begin(), memory.end(), std::byte{1});
  const auto registered = rig.client()->Register(memory);
  KV_CHECK(registered.ok());
  CheckBytes(&rig, memory);
  MeasureLatency(&rig, memory);
  MeasureGets(&rig, memory);
  MeasurePuts(&rig, memory);
}

}  // namespace
}  // namespace kvasir::bench

int main() { kvasir::bench::Main(); }
