#include "client/client.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/deadlock_detection.h"
#include "base/executor.h"
#include "base/limits.h"
#include "base/random.h"
#include "client/client_options.h"
#include "client/client_status.h"
#include "client/counters.h"
#include "client/fanout.h"
#include "client/node_client.h"
#include "client/node_client_channel.h"
#include "client/placement.h"
#include "client/stripes.h"
#include "client/transport_set.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

// How often a node's heartbeats, releases and reconnects are looked at.
constexpr milliseconds kStepInterval{100};
constexpr milliseconds kConnectPause{50};
// A lazy client waits this long for a node that is there already.
constexpr milliseconds kLazyConnectTimeout{100};
constexpr size_t kFanOutThreadsMax = 64;

std::string HostId() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

std::vector<std::string> Hosts(std::span<const NodeAddress> nodes) {
  std::vector<std::string> hosts;
  for (const NodeAddress& node : nodes) hosts.push_back(node.host);
  return hosts;
}

std::string_view KeyOf(std::string_view key) { return key; }
std::string_view KeyOf(const GetItem& item) { return item.key; }
std::string_view KeyOf(const PutItem& item) { return item.key; }

// How many bytes an item moves, as far as is known before the node was asked.
uint64_t SizeOf(std::string_view) { return 0; }
uint64_t SizeOf(const GetItem& item) {
  uint64_t bytes = 0;
  for (const std::span<std::byte> slice : item.into) bytes += slice.size();
  return bytes;
}
uint64_t SizeOf(const PutItem& item) {
  uint64_t bytes = 0;
  for (const std::span<const std::byte> slice : item.payload) bytes += slice.size();
  return bytes;
}

// The part of a batch that goes to one node: items, where they stood in the batch, and
// what has become of them.
template <typename Item>
struct Share {
  std::vector<Item> items;
  std::vector<size_t> at;
  std::vector<KeyResult> results;
};

// What one lane is asked at a time.
template <typename Item>
struct Part {
  NodeClient* node = nullptr;
  std::span<const Item> items;
  std::span<KeyResult> results;
  const std::vector<size_t>* at = nullptr;  // of Share, or null: as they are numbered here
};

// Offers landings by their place in the whole batch, one node at a time.
class ShareSink final : public Sink {
 public:
  ShareSink(Sink& sink, absl::Mutex* mu, const std::vector<size_t>& at)
      : sink_(sink), mu_(mu), at_(at) {}
  void Place(std::span<Landing> landings) override {
    // The lock is what keeps the caller's sink to one call at a time.
    absl::MutexLock lock(mu_);
    std::vector<size_t> local;
    for (Landing& landing : landings) {
      local.push_back(landing.index);
      landing.index = at_[landing.index];
    }
    sink_.Place(landings);
    for (size_t i = 0; i < landings.size(); ++i) landings[i].index = local[i];
  }

 private:
  Sink& sink_;
  absl::Mutex* const mu_;
  const std::vector<size_t>& at_;
};

class ClientImpl final : public Client {
 public:
  ClientImpl(const ClientOptions& options, const std::vector<NodeAddress>& nodes,
             Placement placement)
      : options_(options),
        clock_(Clock::Real()),
        placement_(std::move(placement)),
        transports_(options, Hosts(nodes), clock_) {
    for (const NodeAddress& node : nodes) nodes_.push_back(MakeNode(node));
    // Beside their callers, as many as can have a lane in hand.
    const size_t stripers =
        transports_.has_rdma() ? options.lanes_per_node * (kStripesMax - 1) / kStripesMax : 0;
    const size_t threads =
        std::min((nodes_.size() - 1) * options.lanes_per_node + stripers, kFanOutThreadsMax);
    if (threads > 0) {
      pool_.emplace(ThreadPool::Options{
          .name = "kvasir-fanout", .threads = threads, .queue_tasks_max = 4 * threads});
    }
  }
  ~ClientImpl() override { Close(); }

  absl::Status ConnectNodes();

  absl::StatusOr<std::unique_ptr<MemoryHandle>> Register(
      std::span<std::byte> memory) override {
    return transports_.Register(memory);
  }
  LookupResult Lookup(std::span<const std::string_view> keys,
                      const LookupOptions& options) override;
  std::vector<absl::Status> Get(std::span<const GetItem> items,
                                const GetOptions& options) override;
  std::vector<absl::Status> Get(std::span<const std::string_view> keys, Sink& sink,
                                const GetOptions& options) override;
  std::vector<absl::Status> Put(std::span<const PutItem> items,
                                const PutOptions& options) override;
  std::vector<absl::Status> Pin(std::span<const std::string_view> keys, std::string_view owner,
                                milliseconds ttl, const CallOptions& options) override;
  absl::Status Unpin(std::string_view owner, const CallOptions& options) override;
  std::vector<absl::Status> Remove(std::span<const std::string_view> keys,
                                   const CallOptions& options) override;
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix, size_t limit,
                                                const CallOptions& options) override;
  std::vector<absl::Status> Ping(const CallOptions& options) override;
  absl::StatusOr<std::vector<std::map<std::string, double>>> Stats(
      const CallOptions& options) override;
  ClientCounters counters() const override {
    ClientCounters now = counters_.Read();
    now.staged_bytes = transports_.staged_bytes();
    return now;
  }
  std::vector<std::optional<std::string>> transports() const override;
  void Close() override ABSL_LOCKS_EXCLUDED(close_mu_);

 private:
  std::unique_ptr<NodeClient> MakeNode(const NodeAddress& node);
  Instant Deadline(const std::optional<milliseconds>& timeout) const {
    return clock_->Now() + timeout.value_or(options_.timeout);
  }
  // Runs `run` for each node, in parallel; one status a node.
  std::vector<absl::Status> ForNodes(absl::FunctionRef<absl::Status(size_t node)> run);
  // Deals the items, but those marked kInvalid, over the nodes, cuts what is large into
  // stripes and runs `ask(node, items, results, at)` for each, in parallel; at[i] is where
  // items[i] stood, and null where that is i or items have a size.
  template <typename Item, typename Ask>
  void Deal(std::span<const Item> items, std::span<KeyResult> results, const Ask& ask);
  // Runs `ask` for each stripe of the parts.
  template <typename Item, typename Ask>
  void AskAll(std::span<const Part<Item>> parts, const Ask& ask);

  const ClientOptions options_;
  const Clock* const clock_;
  const Placement placement_;
  const TransportSet transports_;
  Counters counters_;
  std::vector<std::unique_ptr<NodeClient>> nodes_;
  std::optional<ThreadPool> pool_;  // only for several nodes, or lanes of rdma

  // Set once; calls that read it late find nodes without sessions.
  std::atomic<bool> closed_{false};
  absl::Mutex close_mu_;
  std::vector<std::unique_ptr<Ticker>> tickers_ ABSL_GUARDED_BY(close_mu_);
};

// ---- Life

std::unique_ptr<NodeClient> ClientImpl::MakeNode(const NodeAddress& node) {
  NodeClient::Options options;
  options.name = node.name;
  options.client_name = options_.client_name.empty() ? fmt::format("pid {}", getpid())
                                                     : options_.client_name;
  options.host_id = HostId();
  options.pid = static_cast<uint32_t>(getpid());
  options.lanes_max = options_.lanes_per_node;
  options.verify_checksums = options_.verify_checksums;
  options.seed = SecureRandom64();
  options.breaker.jitter_seed = SecureRandom64();
  return std::make_unique<NodeClient>(options,
                                      MakeNodeChannel({.address = node.address}, clock_),
                                      transports_.Ladder(nodes_.size()), clock_, &counters_);
}

absl::Status ClientImpl::ConnectNodes() {
  const Instant deadline =
      clock_->Now() + (options_.connect_lazily
                           ? std::min(options_.connect_timeout, kLazyConnectTimeout)
                           : options_.connect_timeout);
  std::vector<absl::Status> statuses;
  while (true) {
    statuses = ForNodes([&](size_t node) { return nodes_[node]->Connect(deadline); });
    const bool any = std::any_of(statuses.begin(), statuses.end(),
                                 [](const absl::Status& status) { return status.ok(); });
    if (any || options_.connect_lazily) break;
    // It answers and no transport works, which waiting does not mend.
    if (absl::IsFailedPrecondition(statuses.front())) return statuses.front();
    if (clock_->Now() + kConnectPause >= deadline) {
      return absl::UnavailableError(fmt::format("connect client: no node answers; {}: {}",
                                                nodes_.front()->name(),
                                                std::string(statuses.front().message())));
    }
    absl::SleepFor(absl::FromChrono(kConnectPause));
  }
  absl::MutexLock lock(&close_mu_);
  for (const auto& node : nodes_) {
    tickers_.push_back(std::make_unique<Ticker>("kvasir-node", kStepInterval,
                                                [node = node.get()] { node->Step(); }));
  }
  return absl::OkStatus();
}

void ClientImpl::Close() {
  if (closed_.exchange(true)) return;
  std::vector<std::unique_ptr<Ticker>> tickers;
  {
    absl::MutexLock lock(&close_mu_);
    tickers.swap(tickers_);
  }
  tickers.clear();
  ForNodes([this](size_t node) {
    nodes_[node]->Close();
    return absl::OkStatus();
  });
}

std::vector<absl::Status> ClientImpl::ForNodes(
    absl::FunctionRef<absl::Status(size_t node)> run) {
  std::vector<absl::Status> statuses(nodes_.size());
  FanOut(pool_.has_value() ? &*pool_ : nullptr, nodes_.size(),
         [&](size_t node) { statuses[node] = run(node); });
  return statuses;
}

// ---- Batches

template <typename Item>
void CutPart(const Part<Item>& whole, std::vector<Part<Item>>* parts) {
  const size_t stripes_max = whole.items.size() > 1 ? whole.node->stripes_max() : 1;
  std::vector<uint64_t> sizes_bytes;
  if (stripes_max > 1) {
    for (const Item& item : whole.items) sizes_bytes.push_back(SizeOf(item));
  }
  const std::vector<Stripe> stripes = CutStripes(sizes_bytes, stripes_max);
  if (stripes.size() == 1) return parts->push_back(whole);
  for (const Stripe& stripe : stripes) {
    parts->push_back({.node = whole.node,
                      .items = whole.items.subspan(stripe.first, stripe.count),
                      .results = whole.results.subspan(stripe.first, stripe.count)});
  }
}

template <typename Item, typename Ask>
void ClientImpl::AskAll(std::span<const Part<Item>> parts, const Ask& ask) {
  std::vector<Part<Item>> cut;
  for (const Part<Item>& part : parts) CutPart(part, &cut);
  FanOut(pool_.has_value() ? &*pool_ : nullptr, cut.size(), [&](size_t i) {
    ask(*cut[i].node, cut[i].items, cut[i].results, cut[i].at);
  });
}

template <typename Item, typename Ask>
void ClientImpl::Deal(std::span<const Item> items, std::span<KeyResult> results,
                      const Ask& ask) {
  const bool any_invalid =
      std::any_of(results.begin(), results.end(), [](const KeyResult& result) {
        return result.outcome == Outcome::kInvalid;
      });
  if (nodes_.size() == 1 && !any_invalid) {
    const Part<Item> whole = {.node = nodes_[0].get(), .items = items, .results = results};
    return AskAll(std::span(&whole, 1), ask);
  }
  std::vector<Share<Item>> shares(nodes_.size());
  for (size_t i = 0; i < items.size(); ++i) {
    if (results[i].outcome == Outcome::kInvalid) continue;
    Share<Item>& share = shares[placement_.NodeFor(KeyOf(items[i]))];
    share.items.push_back(items[i]);
    share.at.push_back(i);
  }
  std::vector<Part<Item>> parts;
  for (size_t node = 0; node < shares.size(); ++node) {
    Share<Item>& share = shares[node];
    if (share.items.empty()) continue;
    share.results.resize(share.items.size());
    parts.push_back({nodes_[node].get(), share.items, std::span(share.results), &share.at});
  }
  AskAll(std::span<const Part<Item>>(parts), ask);
  for (Share<Item>& share : shares) {
    for (size_t i = 0; i < share.items.size(); ++i) {
      results[share.at[i]] = std::move(share.results[i]);
    }
  }
}

// One result an item, kInvalid where `check` says so.
template <typename Item>
std::vector<KeyResult> CheckAll(std::span<const Item> items,
                                absl::FunctionRef<absl::Status(const Item&)> check) {
  std::vector<KeyResult> results(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    const absl::Status status = check(items[i]);
    if (!status.ok()) results[i] = {Outcome::kInvalid, 0, std::string(status.message())};
  }
  return results;
}

std::vector<absl::Status> Statuses(std::span<const KeyResult> results,
                                   absl::Status (*status_of)(const KeyResult&)) {
  std::vector<absl::Status> statuses;
  statuses.reserve(results.size());
  for (const KeyResult& result : results) statuses.push_back(status_of(result));
  return statuses;
}

absl::Status CheckItemKey(const GetItem& item) { return CheckKey(item.key); }
absl::Status CheckOneKey(const std::string_view& key) { return CheckKey(key); }

std::vector<absl::Status> ClientImpl::Get(std::span<const GetItem> items,
                                          const GetOptions& options) {
  const LaneClient::GetCall call{.unpin_owner = options.unpin_owner,
                                 .deadline = Deadline(options.timeout)};
  std::vector<KeyResult> results = CheckAll<GetItem>(items, CheckItemKey);
  Deal(items, std::span(results),
       [&](NodeClient& node, std::span<const GetItem> share, std::span<KeyResult> answers,
           const std::vector<size_t>*) { node.Get(share, call, answers); });
  return Statuses(results, GetStatus);
}

std::vector<absl::Status> ClientImpl::Get(std::span<const std::string_view> keys, Sink& sink,
                                          const GetOptions& options) {
  const LaneClient::GetCall call{.unpin_owner = options.unpin_owner,
                                 .deadline = Deadline(options.timeout)};
  std::vector<KeyResult> results = CheckAll<std::string_view>(keys, CheckOneKey);
  absl::Mutex sink_mu;
  Deal(keys, std::span(results),
       [&](NodeClient& node, std::span<const std::string_view> share,
           std::span<KeyResult> answers, const std::vector<size_t>* at) {
         if (at == nullptr) return node.Get(share, sink, call, answers);
         ShareSink share_sink(sink, &sink_mu, *at);
         node.Get(share, share_sink, call, answers);
       });
  return Statuses(results, GetStatus);
}

std::vector<absl::Status> ClientImpl::Put(std::span<const PutItem> items,
                                          const PutOptions& options) {
  const NodeClient::PutCall call{.replace = options.replace,
                                 .durability = options.durability,
                                 .deadline = Deadline(options.timeout)};
  std::vector<KeyResult> results = CheckAll<PutItem>(items, CheckPut);
  if (items.size() > 1) {
    absl::flat_hash_set<absl::string_view> seen;
    seen.reserve(items.size());
    for (size_t i = 0; i < items.size(); ++i) {
      if (seen.insert(ToAbsl(items[i].key)).second) continue;
      results[i] = {Outcome::kInvalid, 0, "put: the key stands twice in the batch"};
    }
  }
  Deal(items, std::span(results),
       [&](NodeClient& node, std::span<const PutItem> share, std::span<KeyResult> answers,
           const std::vector<size_t>*) { node.Put(share, call, answers); });
  return Statuses(results, PutStatus);
}

LookupResult ClientImpl::Lookup(std::span<const std::string_view> keys,
                                const LookupOptions& options) {
  LaneClient::LookupCall call{.pin_owner = options.pin_owner,
                              .pin_ttl = options.pin_ttl,
                              .pin_all = options.pin_all,
                              .promote = options.promote,
                              .deadline = Deadline(options.timeout)};
  LookupResult found;
  if (!call.pin_owner.empty() && !CheckPin(call.pin_owner, call.pin_ttl).ok()) {
    found.present.assign(keys.size(), false);
    found.on_disk = found.present;
    return found;
  }
  // No node knows the prefix of a batch that is spread over several: each pins all of its
  // hits instead, which is more than asked for and never less.
  if (nodes_.size() > 1) call.pin_all = true;
  std::vector<KeyResult> results = CheckAll<std::string_view>(keys, CheckOneKey);
  std::atomic<size_t> pinned_count{0};
  Deal(keys, std::span(results),
       [&](NodeClient& node, std::span<const std::string_view> share,
           std::span<KeyResult> answers, const std::vector<size_t>*) {
         pinned_count += node.Lookup(share, call, answers);
       });
  found.pinned_count = pinned_count;
  found.present.reserve(keys.size());
  found.on_disk.reserve(keys.size());
  for (const KeyResult& result : results) {
    found.present.push_back(result.outcome == Outcome::kOk);
    found.on_disk.push_back(result.on_disk);
  }
  while (found.prefix_count < keys.size() && found.present[found.prefix_count]) {
    ++found.prefix_count;
  }
  return found;
}

std::vector<absl::Status> ClientImpl::Remove(std::span<const std::string_view> keys,
                                             const CallOptions& options) {
  const Instant deadline = Deadline(options.timeout);
  std::vector<KeyResult> results = CheckAll<std::string_view>(keys, CheckOneKey);
  Deal(keys, std::span(results),
       [&](NodeClient& node, std::span<const std::string_view> share,
           std::span<KeyResult> answers, const std::vector<size_t>*) {
         node.Remove(share, deadline, answers);
       });
  return Statuses(results, FoundStatus);
}

std::vector<absl::Status> ClientImpl::Pin(std::span<const std::string_view> keys,
                                          std::string_view owner, milliseconds ttl,
                                          const CallOptions& options) {
  if (absl::Status status = CheckPin(owner, ttl); !status.ok()) {
    return std::vector<absl::Status>(keys.size(), status);
  }
  const LaneClient::LookupCall call{.pin_owner = owner,
                                    .pin_ttl = ttl,
                                    .pin_all = true,
                                    .deadline = Deadline(options.timeout)};
  std::vector<KeyResult> results = CheckAll<std::string_view>(keys, CheckOneKey);
  Deal(keys, std::span(results),
       [&](NodeClient& node, std::span<const std::string_view> share,
           std::span<KeyResult> answers, const std::vector<size_t>*) {
         const size_t pinned_count = node.Lookup(share, call, answers);
         const auto hits = std::count_if(
             answers.begin(), answers.end(),
             [](const KeyResult& answer) { return answer.outcome == Outcome::kOk; });
         if (pinned_count == static_cast<size_t>(hits)) return;
         // The node does not say which, so none counts as pinned.
         for (KeyResult& answer : answers) {
           if (answer.outcome != Outcome::kOk) continue;
           answer = {Outcome::kRefused, 0, "the node holds no more pins"};
         }
       });
  return Statuses(results, FoundStatus);
}

// ---- The rest

absl::Status FirstError(std::span<const absl::Status> statuses) {
  absl::Status first;
  for (const absl::Status& status : statuses) first.Update(status);
  return first;
}

absl::Status ClientImpl::Unpin(std::string_view owner, const CallOptions& options) {
  const Instant deadline = Deadline(options.timeout);
  return FirstError(
      ForNodes([&](size_t node) { return nodes_[node]->UnpinOwner(owner, deadline); }));
}

absl::StatusOr<std::vector<std::string>> ClientImpl::List(std::string_view prefix, size_t limit,
                                                          const CallOptions& options) {
  const Instant deadline = Deadline(options.timeout);
  std::vector<std::vector<std::string>> lists(nodes_.size());
  const std::vector<absl::Status> statuses = ForNodes([&](size_t node) {
    absl::StatusOr<std::vector<std::string>> list = nodes_[node]->List(prefix, limit, deadline);
    if (list.ok()) lists[node] = *std::move(list);
    return list.status();
  });
  if (absl::Status status = FirstError(statuses); !status.ok()) return status;
  std::vector<std::string> keys;
  for (std::vector<std::string>& list : lists) {
    std::move(list.begin(), list.end(), std::back_inserter(keys));
  }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  if (keys.size() > limit) keys.resize(limit);
  return keys;
}

std::vector<absl::Status> ClientImpl::Ping(const CallOptions& options) {
  const Instant deadline = Deadline(options.timeout);
  return ForNodes([&](size_t node) { return nodes_[node]->Ping(deadline); });
}

absl::StatusOr<std::vector<std::map<std::string, double>>> ClientImpl::Stats(
    const CallOptions& options) {
  const Instant deadline = Deadline(options.timeout);
  std::vector<std::map<std::string, double>> stats(nodes_.size());
  const std::vector<absl::Status> statuses = ForNodes([&](size_t node) {
    absl::StatusOr<std::map<std::string, double>> one = nodes_[node]->Stats(deadline);
    if (one.ok()) stats[node] = *std::move(one);
    return one.status();
  });
  if (absl::Status status = FirstError(statuses); !status.ok()) return status;
  return stats;
}

std::vector<std::optional<std::string>> ClientImpl::transports() const {
  std::vector<std::optional<std::string>> names;
  for (const auto& node : nodes_) {
    const std::optional<TransportKind> kind = node->transport();
    names.push_back(kind.has_value() ? std::optional<std::string>(TransportName(*kind))
                                     : std::nullopt);
  }
  return names;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options) {
  StopDeadlockDetection();  // An engine has no reason to know of it.
  absl::StatusOr<std::vector<NodeAddress>> nodes = CheckOptions(options);
  if (!nodes.ok()) return nodes.status();
  std::vector<Placement::Node> placed;
  for (const NodeAddress& node : *nodes) placed.push_back({node.name, 1.0});
  absl::StatusOr<Placement> placement = Placement::Make(placed);
  if (!placement.ok()) return placement.status();
  auto client = std::make_unique<ClientImpl>(options, *nodes, *std::move(placement));
  if (absl::Status status = client->ConnectNodes(); !status.ok()) return status;
  return client;
}

}  // namespace kvasir
