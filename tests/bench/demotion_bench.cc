// What demotion costs those who put and get meanwhile: the times of single puts, and of
// single gets of blocks in memory, with a disk tier that is written flat out and without
// one.
//
// Two servers, one with a data_dir whose write_policy is write_through. The one that is
// measured is fed with new blocks, both at the same pace, which is more than disks take
// of it: so the queue to the disk stays full, and all that differs is the demotion.
//
// usage: demotion_bench [FEED]   (MB a second; default 1000)
// Needs 9 GiB in the directory that TMPDIR names (default /var/tmp), and 2 GiB of memory.

#include <fmt/core.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "client/client.h"
#include "tests/bench/bench_server.h"
#include "tests/bench/measure.h"

namespace kvasir::bench {
namespace {

using std::chrono::steady_clock;

constexpr size_t kFeedBlocks = 16;
constexpr size_t kFeedBlockBytes = 1 * kMiB;
constexpr size_t kBlockBytes = 256 * kKiB;
constexpr size_t kHotBlocks = 64;
constexpr int kRounds = 5;
constexpr auto kWarmUp = std::chrono::milliseconds(500);
constexpr auto kMeasured = std::chrono::seconds(4);

void Put(Client* client, std::string_view key, std::span<const std::byte> payload) {
  const PutItem item{.key = key, .payload = {&payload, 1}, .attributes = {}};
  const absl::Status status = client->Put({&item, 1}, {}).front();
  if (!status.ok()) fmt::print(stderr, "put: {}\n", std::string(status.message()));
  KV_CHECK(status.ok());
}

// Puts new blocks at a steady pace until it is destroyed. What the node refuses it drops.
class Feeder {
 public:
  Feeder(const BenchServer& server, std::string prefix, double bytes_per_second)
      : client_(server.Connect({})),
        prefix_(std::move(prefix)),
        interval_(std::chrono::duration_cast<steady_clock::duration>(
            std::chrono::duration<double>(kFeedBlocks * kFeedBlockBytes /
                                          bytes_per_second))),
        memory_(kFeedBlockBytes, std::byte{5}),
        handle_(std::move(client_->Register(memory_)).value()),
        thread_([this] { Run(); }) {}
  ~Feeder() {
    stop_.store(true, std::memory_order_relaxed);
    thread_.join();
  }

 private:
  void Run() {
    steady_clock::time_point next = steady_clock::now();
    const std::span<const std::byte> payload = memory_;
    // Relaxed: only says when to end; the thread is joined.
    for (size_t batch = 0; !stop_.load(std::memory_order_relaxed); ++batch) {
      std::vector<std::string> keys;
      std::vector<PutItem> items;
      for (size_t i = 0; i < kFeedBlocks; ++i) {
        keys.push_back(fmt::format("{}/{}/{}", prefix_, batch, i));
      }
      for (const std::string& key : keys) {
        items.push_back({.key = key, .payload = {&payload, 1}, .attributes = {}});
      }
      (void)client_->Put(items, {});
      // No catching up after a delay: that would be a burst.
      next = std::max(next + interval_, steady_clock::now() - interval_);
      std::this_thread::sleep_until(next);
    }
  }

  const std::unique_ptr<Client> client_;
  const std::string prefix_;
  const steady_clock::duration interval_;
  std::vector<std::byte> memory_;
  const std::unique_ptr<MemoryHandle> handle_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct Times {
  std::vector<double> puts, gets;
};
struct Figures {
  double put_p50 = 0, put_p99 = 0, get_p50 = 0, get_p99 = 0;
  double disk_bytes_per_second = 0;
};

// A server, and a caller of it with hot blocks that are pinned in memory.
class Subject {
 public:
  Subject(const std::string& name, const std::vector<std::string>& flags)
      : name_(name),
        server_(BenchServer::Start("1GiB", flags)),
        client_(server_->Connect({})),
        memory_(kBlockBytes, std::byte{3}),
        handle_(std::move(client_->Register(memory_)).value()) {
    for (size_t i = 0; i < kHotBlocks; ++i) {
      hot_.push_back(fmt::format("hot/{}", i));
      Put(client_.get(), hot_.back(), memory_);
    }
    const std::vector<std::string_view> keys(hot_.begin(), hot_.end());
    for (const absl::Status& status : client_->Pin(keys, "bench", kMaxPinTtl, {})) {
      KV_CHECK(status.ok());
    }
  }

  const std::string& name() const { return name_; }

  Figures Run(int round, double feed_bytes_per_second) {
    const Feeder feeder(*server_, fmt::format("feed/{}", round), feed_bytes_per_second);
    (void)Measure(fmt::format("warm/{}", round), kWarmUp);
    const double written_before = Stat("tier_written_bytes_total");
    const Times times = Measure(fmt::format("new/{}", round), kMeasured);
    const double written = Stat("tier_written_bytes_total") - written_before;
    return {.put_p50 = Quantile(times.puts, 0.5),
            .put_p99 = Quantile(times.puts, 0.99),
            .get_p50 = Quantile(times.gets, 0.5),
            .get_p99 = Quantile(times.gets, 0.99),
            .disk_bytes_per_second =
                written / std::chrono::duration<double>(kMeasured).count()};
  }

  double Stat(const std::string& name) {
    const auto stats = client_->Stats({});
    KV_CHECK(stats.ok());
    const auto found = stats->front().find(name);
    return found == stats->front().end() ? 0 : found->second;
  }

 private:
  // Puts and gets in turn, one block each.
  Times Measure(const std::string& prefix, steady_clock::duration duration) {
    Times times;
    const std::span<std::byte> into = memory_;
    const steady_clock::time_point end = steady_clock::now() + duration;
    for (size_t i = 0; steady_clock::now() < end; ++i) {
      const std::string key = fmt::format("{}/{}", prefix, i);
      times.puts.push_back(Seconds([&] { Put(client_.get(), key, memory_); }));
      const GetItem item{.key = hot_[i % kHotBlocks], .into = {&into, 1}};
      times.gets.push_back(
          Seconds([&] { KV_CHECK(client_->Get({&item, 1}, {}).front().ok()); }));
    }
    return times;
  }

  const std::string name_;
  const std::unique_ptr<BenchServer> server_;
  const std::unique_ptr<Client> client_;
  std::vector<std::byte> memory_;
  const std::unique_ptr<MemoryHandle> handle_;
  std::vector<std::string> hot_;
};

// The medians of what the rounds had.
Figures Medians(const std::vector<Figures>& rounds) {
  const auto median = [&](double Figures::*member) {
    std::vector<double> values;
    for (const Figures& round : rounds) values.push_back(round.*member);
    return Median(std::move(values));
  };
  return {.put_p50 = median(&Figures::put_p50),
          .put_p99 = median(&Figures::put_p99),
          .get_p50 = median(&Figures::get_p50),
          .get_p99 = median(&Figures::get_p99),
          .disk_bytes_per_second = median(&Figures::disk_bytes_per_second)};
}

void Print(const Subject& subject, const Figures& figures) {
  fmt::print("{}: put of 256 KiB p50 {:.0f} us, p99 {:.0f} us; get p50 {:.0f} us, p99 "
             "{:.0f} us; to disk {:.2f} GB/s\n",
             subject.name(), 1e6 * figures.put_p50, 1e6 * figures.put_p99,
             1e6 * figures.get_p50, 1e6 * figures.get_p99,
             figures.disk_bytes_per_second / 1e9);
}

int Main(int argc, char** argv) {
  const double feed = (argc > 1 ? std::strtod(argv[1], nullptr) : 1000) * 1e6;
  const char* const base = std::getenv("TMPDIR");
  std::string directory =
      std::string(base == nullptr ? "/var/tmp" : base) + "/demotion-bench.XXXXXX";
  KV_CHECK(::mkdtemp(directory.data()) != nullptr);
  {
    Subject without("without a tier", {});
    Subject with("with demotion", {"--data_dir", directory + "/tier", "--disk", "8GiB",
                                   "--write_policy", "write_through"});
    std::vector<Figures> without_rounds, with_rounds;
    for (int round = 0; round < kRounds; ++round) {
      without_rounds.push_back(without.Run(round, feed));
      with_rounds.push_back(with.Run(round, feed));
    }
    const Figures before = Medians(without_rounds), during = Medians(with_rounds);
    Print(without, before);
    Print(with, during);
    fmt::print("fed at {:.2f} GB/s; demotions dropped because the queue was full: {:.0f}\n",
               feed / 1e9, with.Stat("dropped_demotions_total"));
    PrintAtMost("put_p99_while_demoting", during.put_p99 / before.put_p99, 2);
    PrintAtMost("get_p99_while_demoting", during.get_p99 / before.get_p99, 2);
  }
  std::filesystem::remove_all(directory);
  return 0;
}

}  // namespace
}  // namespace kvasir::bench

int main(int argc, char** argv) { return kvasir::bench::Main(argc, argv); }
