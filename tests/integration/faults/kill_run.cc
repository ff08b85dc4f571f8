#include "tests/integration/faults/kill_run.h"

#include <fmt/core.h>
#include <signal.h>

#include <algorithm>
#include <span>
#include <thread>
#include <utility>

#include "tests/integration/faults/whole_blocks.h"

namespace kvasir {
namespace {

using absl::MutexLock;
using std::chrono::milliseconds;

constexpr size_t kWriters = 4;
constexpr size_t kKeysOfWriter = 80;
constexpr size_t kBatchMax = 3;
constexpr size_t kLookedAtOnce = 32;
constexpr size_t kReportsMax = 20;
constexpr milliseconds kPatience{20'000};
// A server whose connections are gone ends within this, or lives.
constexpr milliseconds kDyingPatience{1'000};
// What is on its way to the disk at once, kWriters * kBatchMax blocks, is within an eighth
// of this: so no durable put is refused. All keys together are more than it.
constexpr char kMemory[] = "--memory=8MiB";
constexpr char kBinary[] = "tests/integration/faults/faulty_kvasird";
constexpr int kKilled = 128 + SIGKILL;

}  // namespace

KillRun::KillRun(const Options& options)
    : options_(options), random_(options.seed), keys_(kWriters) {
  for (size_t writer = 0; writer < kWriters; ++writer) {
    for (size_t i = 0; i < kKeysOfWriter; ++i) {
      keys_[writer].push_back(
          std::make_unique<KeyHistory>(fmt::format("writer{}/key{}", writer, i)));
    }
  }
}

KillRun::~KillRun() = default;

absl::Status KillRun::Start(const std::optional<Faults::Death>& death) {
  std::vector<std::string> environment;
  if (death.has_value()) environment.push_back(Faults::DeathVariable(*death));
  if (!options_.faults.empty()) {
    environment.push_back(Faults::DirectoryVariable(options_.faults));
  }
  auto started = ServerProcess::Start({
      .flags = {"--data_dir=" + options_.data_dir, "--disk=" + options_.disk,
                kMemory, "--log_level=warning"},
      .environment = environment,
      .binary = kBinary,
  });
  if (!started.ok()) return started.status();
  server_ = *std::move(started);
  MutexLock lock(&mu_);
  calls_ = 0;
  gone_ = false;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Client>> KillRun::Connect(size_t index) const {
  return Client::Connect({
      .nodes = {server_->listen()},
      .transport = index % 2 == 0 ? TransportChoice::kShm : TransportChoice::kTcp,
      .timeout = kPatience,
      .lanes_per_node = 1,
      .staging_buffers = 2,
      .staging_buffer_bytes = kLookedAtOnce * KeyHistory::kMaxBytes,
  });
}

absl::Status KillRun::Live(const Life& life) {
  if (absl::Status started = Start(life.death); !started.ok()) {
    // It may have met its death before it was ready.
    if (!life.death.has_value() || !absl::IsAborted(started)) return started;
    ++totals_.kills;
    ++totals_.deaths[life.death->point];
    return absl::OkStatus();
  }
  if (auto client = Connect(0); client.ok()) LookAtEverything(client->get());
  std::vector<std::thread> writers;
  // Nobody waits to be connected to one that has died already.
  const bool dead = server_->EndsWithin(milliseconds(0));
  for (size_t writer = 0; writer < kWriters && !dead; ++writer) {
    writers.emplace_back([this, writer, seed = random_()] { Work(writer, seed); });
  }
  {
    MutexLock lock(&mu_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return dead || gone_ || calls_ >= life.calls_max;
    };
    mu_.Await(absl::Condition(&enough));
  }
  const bool by_itself = server_->EndsWithin(milliseconds(0));
  server_->Signal(SIGKILL);
  for (std::thread& writer : writers) writer.join();
  const absl::StatusOr<int> code = server_->WaitForExit();
  if (!code.ok()) return code.status();
  if (*code != kKilled) Report(fmt::format("exit code {}:\n{}", *code, server_->log()));
  server_.reset();
  ++totals_.kills;
  if (by_itself && life.death.has_value()) ++totals_.deaths[life.death->point];
  return absl::OkStatus();
}

absl::Status KillRun::Finish() {
  if (absl::Status started = Start(std::nullopt); !started.ok()) return started;
  auto client = Connect(0);
  if (!client.ok()) return client.status();
  LookAtEverything(client->get());
  client->reset();
  server_->Signal(SIGTERM);
  const absl::StatusOr<int> code = server_->WaitForExit();
  server_.reset();
  if (code.ok() && *code != 0) Report(fmt::format("exit code {}", *code));
  return code.status();
}

void KillRun::LookAtEverything(Client* client) {
  std::vector<KeyHistory*> all;
  for (const auto& of_writer : keys_) {
    for (const auto& key : of_writer) all.push_back(key.get());
  }
  for (size_t from = 0; from < all.size(); from += kLookedAtOnce) {
    const std::span<KeyHistory*> some = std::span(all).subspan(
        from, std::min(kLookedAtOnce, all.size() - from));
    std::vector<std::string_view> names;
    for (const KeyHistory* key : some) names.push_back(key->key());
    const WholeBlocks blocks = GetAllThereIs(client, names);
    // One that has died meanwhile has said nothing.
    if (!client->Ping({}).front().ok()) return;
    for (size_t i = 0; i < some.size(); ++i) {
      totals_.recovered += blocks[i].has_value();
      Report(some[i]->CheckAfterRestart(blocks[i], options_.whole));
    }
  }
  const auto stats = client->Stats({});
  if (!stats.ok()) return;
  for (const char* name : {"tier_lost_blocks", "tier_corrupt_blocks_total"}) {
    const double value = stats->front().at(name);
    if (value != 0) Report(fmt::format("{} is {}", name, value));
  }
}

void KillRun::Work(size_t writer, uint64_t seed) {
  std::mt19937_64 random(seed);
  const absl::StatusOr<std::unique_ptr<Client>> client = Connect(writer);
  bool lives = client.ok();
  while (lives) lives = Call(writer, client->get(), &random);
  MutexLock lock(&mu_);
  gone_ = true;
}

bool KillRun::Call(size_t writer, Client* client, std::mt19937_64* random) {
  const auto& mine = keys_[writer];
  const auto any = [random](const auto& from) { return (*random)() % from.size(); };
  const uint64_t die = (*random)() % 100;
  if (die < 15) return Remove(mine[any(mine)].get(), client);
  std::vector<KeyHistory*> keys;
  const size_t count = 1 + (*random)() % kBatchMax;
  if (die < 40) {
    for (size_t i = 0; i < count; ++i) {
      const auto& of_writer = keys_[any(keys_)];
      keys.push_back(of_writer[any(of_writer)].get());
    }
    Read(keys, client);
    return Count(server_->EndsWithin(milliseconds(0)) ? absl::UnavailableError("gone")
                                                      : absl::OkStatus(),
                 &Totals::reads);
  }
  const size_t first = any(mine);
  for (size_t i = 0; i < count; ++i) keys.push_back(mine[(first + i) % mine.size()].get());
  const Durability durability = die < 60   ? Durability::kNone
                                : die < 80 ? Durability::kProcess
                                           : Durability::kPower;
  return Put(std::move(keys), durability, client);
}

bool KillRun::Put(std::vector<KeyHistory*> keys, Durability durability, Client* client) {
  const bool durable = durability != Durability::kNone;
  std::vector<std::vector<std::byte>> payloads;
  std::vector<std::span<const std::byte>> slices(keys.size());
  std::vector<PutItem> items;
  for (size_t i = 0; i < keys.size(); ++i) {
    payloads.push_back(keys[i]->BytesOf(keys[i]->BeginPut(durability)));
    slices[i] = payloads.back();
    items.push_back({.key = keys[i]->key(), .payload = {&slices[i], 1}, .attributes = ""});
  }
  const std::vector<absl::Status> statuses =
      client->Put(items, {.replace = true, .durability = durability});
  bool lives = true;
  for (size_t i = 0; i < keys.size(); ++i) {
    keys[i]->EndPut(statuses[i], durability);
    lives = Count(statuses[i], durable ? &Totals::durable_puts : &Totals::other_puts) &&
            lives;
  }
  return lives;
}

bool KillRun::Remove(KeyHistory* key, Client* client) {
  const std::string_view name = key->key();
  key->BeginRemoval();
  const absl::Status status = client->Remove({&name, 1}, {}).front();
  key->EndRemoval(status);
  return Count(absl::IsNotFound(status) ? absl::OkStatus() : status, &Totals::removals);
}

void KillRun::Read(const std::vector<KeyHistory*>& keys, Client* client) {
  std::vector<std::string_view> names;
  std::vector<uint64_t> floors;
  for (const KeyHistory* key : keys) {
    names.push_back(key->key());
    floors.push_back(key->floor());
  }
  const WholeBlocks blocks = GetWhole(client, names);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (blocks[i].has_value()) Report(keys[i]->CheckSeen(*blocks[i], floors[i]));
  }
}

bool KillRun::Count(const absl::Status& status, uint64_t Totals::*counter) {
  const bool gone = absl::IsUnavailable(status) && server_->EndsWithin(kDyingPatience);
  MutexLock lock(&mu_);
  ++calls_;
  if (status.ok()) {
    ++(totals_.*counter);
  } else if (!gone) {
    ++totals_.refused;
  }
  gone_ = gone_ || gone;
  return !gone_;
}

void KillRun::Report(const std::string& fault) {
  MutexLock lock(&mu_);
  if (!fault.empty() && seen_.size() < kReportsMax) seen_.push_back(fault);
}

}  // namespace kvasir
