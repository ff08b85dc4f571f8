#include "tests/integration/faults/disk_trial.h"

#include <fmt/core.h>
#include <signal.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/limits.h"
#include "tests/integration/cli_process.h"
#include "tests/integration/faults/faults.h"
#include "tests/integration/faults/whole_blocks.h"
#include "tests/integration/raw_session.h"
#include "tests/storage/described_bytes.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

constexpr char kBinary[] = "tests/integration/faults/faulty_kvasird";
constexpr size_t kBlockBytes = 64 * kKiB;
constexpr uint64_t kMemoryBytes = 8 * kMiB;
constexpr size_t kLookedAtOnce = 16;
// Half of what may be on its way to the disk at once.
constexpr size_t kPutAtOnce = 8;
constexpr milliseconds kPatience{20'000};
// Between two questions after the state.
constexpr milliseconds kPause{20};

std::vector<std::byte> BytesOf(std::string_view key) {
  std::vector<std::byte> bytes(kBlockBytes);
  DescribedBytes(key, 1).Fill(bytes);
  return bytes;
}

}  // namespace

absl::Status DiskTrial::Start() {
  auto started = ServerProcess::Start({
      .flags = {"--data_dir=" + options_.data_dir, "--disk=1GiB", "--log_level=warning",
                fmt::format("--memory={}", kMemoryBytes)},
      .environment = {Faults::DirectoryVariable(options_.faults)},
      .binary = kBinary,
  });
  if (!started.ok()) return started.status();
  server_ = *std::move(started);
  auto client = Client::Connect({.nodes = {server_->listen()}, .timeout = kPatience});
  if (!client.ok()) return client.status();
  client_ = *std::move(client);
  return absl::OkStatus();
}

void DiskTrial::Kill() {
  client_.reset();
  server_.reset();
}

absl::Status DiskTrial::PutNew(size_t count, const PutOptions& options) {
  const size_t first = blocks_.size();
  std::vector<std::vector<std::byte>> payloads;
  std::vector<std::span<const std::byte>> slices;
  for (size_t i = 0; i < count; ++i) {
    blocks_.push_back({.key = fmt::format("block{}", first + i)});
    payloads.push_back(BytesOf(blocks_.back().key));
  }
  for (const std::vector<std::byte>& payload : payloads) slices.emplace_back(payload);
  std::vector<PutItem> items;
  for (size_t i = 0; i < count; ++i) {
    items.push_back(
        {.key = blocks_[first + i].key, .payload = {&slices[i], 1}, .attributes = ""});
  }
  const std::vector<absl::Status> statuses = client_->Put(items, options);
  absl::Status worst;
  for (size_t i = 0; i < count; ++i) {
    blocks_[first + i].promised =
        statuses[i].ok() && options.durability != Durability::kNone;
    worst.Update(statuses[i]);
  }
  return worst;
}

absl::Status DiskTrial::PutDurably(size_t count) {
  absl::Status status;
  for (size_t done = 0; done < count && status.ok(); done += kPutAtOnce) {
    status = PutNew(std::min(kPutAtOnce, count - done), {.durability = Durability::kPower});
  }
  return status;
}

absl::Status DiskTrial::PutMoreThanMemoryHolds() {
  return PutDurably(2 * kMemoryBytes / kBlockBytes);
}

absl::Status DiskTrial::RemoveLast() {
  Block& block = blocks_.back();
  const std::string_view key = block.key;
  const absl::Status status = client_->Remove({&key, 1}, {}).front();
  block.promised = false;
  block.removed = status.ok();
  return status;
}

std::string DiskTrial::Look() {
  std::string faults;
  for (size_t from = 0; from < blocks_.size(); from += kLookedAtOnce) {
    const std::span<const Block> some =
        std::span(blocks_).subspan(from, std::min(kLookedAtOnce, blocks_.size() - from));
    std::vector<std::string_view> keys;
    for (const Block& block : some) keys.push_back(block.key);
    const WholeBlocks seen = GetAllThereIs(client_.get(), keys);
    for (size_t i = 0; i < some.size(); ++i) {
      const Block& block = some[i];
      if (!seen[i].has_value()) {
        if (block.promised) faults += fmt::format("{} is lost\n", block.key);
      } else if (block.removed) {
        faults += fmt::format("{} is back\n", block.key);
      } else if (*seen[i] != BytesOf(block.key)) {
        faults += fmt::format("{} has wrong bytes\n", block.key);
      }
    }
  }
  return faults;
}

bool DiskTrial::IsAHit(size_t index, milliseconds timeout) {
  const std::string& key = blocks_[index].key;
  std::vector<std::byte> bytes(kBlockBytes);
  const std::span<std::byte> slice(bytes);
  const GetItem item{.key = key, .into = {&slice, 1}};
  const bool hit = client_->Get({&item, 1}, {.timeout = timeout}).front().ok();
  return hit && bytes == BytesOf(key);
}

std::string DiskTrial::Await(TierState state, milliseconds patience) {
  const Clock* const clock = Clock::Real();
  const Instant end = clock->Now() + patience;
  while (clock->Now() < end && !server_->EndsWithin(kPause)) {
    if (Metric("tier_state") != static_cast<double>(state)) continue;
    return HttpGet(server_->http_listen(), "/readyz").body;
  }
  return fmt::format("no {} within {} ms, but {}", TierStateName(state), patience.count(),
                     HttpGet(server_->http_listen(), "/readyz").body);
}

std::string DiskTrial::Info() const {
  const CliProcess::Result run = CliProcess::Run(server_->listen(), {"info"});
  return run.out + run.err;
}

double DiskTrial::Metric(const std::string& name) {
  const auto stats = client_->Stats({});
  return stats.ok() ? stats->front().at(name) : -1;
}

}  // namespace kvasir
