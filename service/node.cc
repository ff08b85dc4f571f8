#include "service/node.h"

#include <fmt/core.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/limits.h"
#include "base/random.h"
#include "service/machine.h"
#include "storage/rocks_tier.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

// Threads of the HTTP server: one accepts, the rest answer.
constexpr size_t kHttpThreads = 4;
constexpr size_t kHttpQueueMax = 64;
// Requests that came as messages and wait for a thread: one a lane.
constexpr size_t kMessageQueueMax = 4'096;
// How long a transport's loop may wait for work before it looks whether to stop.
constexpr milliseconds kPollWait{50};
// What calls get that are under way when the node stops.
constexpr milliseconds kShutdownPatience{200};
// What memory has goes to disk in this time, or is lost.
constexpr milliseconds kSavePatience{120'000};
// The longest drain before that: a lease of the largest TTL, and a fence after it.
constexpr milliseconds kDrainPatience = kMaxLeaseTtl + kLeaseGrace + milliseconds(5'000);

Epoch RandomEpoch() { return Epoch{std::max<uint64_t>(SecureRandom64(), 1)}; }

// Clients reach a node that listens on every interface by its host's name.
std::string ReachableAddress(const ListenAddress& listen, const Machine& machine) {
  ListenAddress address = listen;
  if (listen.wildcard()) address.host = machine.host_name;
  return address.ToString();
}

KvCore::Options CoreOptions(const Config& config, Epoch epoch, const Machine& machine) {
  return {.node_name = config.node_name,
          .epoch = epoch,
          .host_id = machine.boot_id,
          .lease_ttl = config.lease_ttl,
          // Two beats may get lost before silence ends a session.
          .heartbeat_interval = std::min(kHeartbeatInterval, config.session_silence / 3),
          .session_silence = config.session_silence};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Node>> Node::Start(const Config& config,
                                                  std::unique_ptr<Region> region,
                                                  const Clock* clock,
                                                  const TierOpener& open_tier) {
  auto node = std::unique_ptr<Node>(new Node(config, std::move(region), clock));
  if (absl::Status started = node->StartTransports(); !started.ok()) return started;
  node->StartMessages();
  node->StartThreads();
  if (absl::Status started = node->StartServers(); !started.ok()) return started;
  node->OpenTier(open_tier);
  return node;
}

Node::Node(const Config& config, std::unique_ptr<Region> region, const Clock* clock)
    : config_(config),
      clock_(clock),
      drain_asked_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      epoch_(RandomEpoch()),
      region_(std::move(region)),
      arena_(region_.get()),
      tier_(config.data_dir.empty() ? nullptr : std::make_unique<NodeTier>()),
      store_(&arena_,
             {.eviction_policy = config.eviction_policy,
              .write_policy = config.write_policy},
             clock, tier_ == nullptr ? nullptr : tier_->store_executor(),
             tier_ == nullptr ? nullptr : tier_->load_executor()),
      sealer_(epoch_),
      leases_(&sealer_) {}

Node::~Node() {
  if (tier_ != nullptr) tier_->EndOpening();  // It tells the servers below.
  http_.reset();
  if (grpc_ != nullptr) grpc_->Shutdown(kShutdownPatience);  // Ends lanes and sessions.
  grpc_.reset();
  if (messages_ != nullptr) messages_->Drain();  // Each ends within a wait for the disk.
  // From here on nobody polls, and no fence returns but with the transports' end.
  tickers_.clear();
  message_threads_.reset();
  transports_.offered.clear();
  if (tier_ != nullptr) tier_->Stop();
  core_.reset();
}

absl::Status Node::StartTransports() {
  absl::StatusOr<NodeTransports> made =
      MakeTransports(config_, *region_, &leases_, clock_);
  if (!made.ok()) return made.status();
  transports_ = *std::move(made);
  const Machine machine = Machine::Inspect();
  core_ = std::make_unique<KvCore>(CoreOptions(config_, epoch_, machine), clock_, &store_,
                                   &leases_, transports_.pointers());
  view_.config = &config_;
  view_.clock = clock_;
  view_.region = region_.get();
  view_.store = &store_;
  view_.tier = tier_.get();
  view_.leases = &leases_;
  view_.core = core_.get();
  if (tier_ != nullptr) {
    core_->BeginRecovery();
    view_.recovering = true;
  }
  view_.requests = &requests_;
  view_.transports = transports_.pointers();
  view_.rails = transports_.rails;
  view_.epoch = epoch_;
  view_.started = clock_->Now();
  view_.listen = config_.listen;
  view_.data_listen = transports_.data_listen;
  view_.http_listen = config_.http_listen;
  return absl::OkStatus();
}

void Node::StartMessages() {
  if (transports_.rails.empty()) return;
  message_threads_ = std::make_unique<ThreadPool>(
      ThreadPool::Options{.name = "kv-messages",
                          .threads = config_.data_loops,
                          .queue_tasks_max = kMessageQueueMax});
  messages_ = std::make_unique<LaneMessages>(core_.get(), &requests_, clock_,
                                             message_threads_.get());
  for (const auto& transport : transports_.offered) {
    transport->HandleMessages([this](SessionId session, LaneId lane, std::string_view request,
                                     ServerTransport::Reply reply) {
      messages_->Answer(session, lane, request, std::move(reply));
    });
  }
}

void Node::StartThreads() {
  tickers_.push_back(std::make_unique<Ticker>("kv-reaper", kReaperInterval, [this] {
    core_->Step();
    view_.reaped_ns = clock_->Now().time_since_epoch().count();
  }));
  tickers_.push_back(std::make_unique<Ticker>("kv-evictor", kEvictorInterval, [this] {
    store_.Step();
    if (tier_ != nullptr) tier_->Step(clock_->Now());
    if (save_asked_.load()) saved_ = store_.SaveStep();
  }));
  for (const auto& transport : transports_.offered) {
    for (size_t loop = 0; loop < transport->loops(); ++loop) {
      tickers_.push_back(std::make_unique<Ticker>(
          fmt::format("kv-{}-{}", TransportName(transport->kind()), loop),
          milliseconds(0),
          [raw = transport.get(), loop] { raw->Poll(loop, kPollWait); }));
    }
  }
}

absl::Status Node::StartServers() {
  http_threads_ = std::make_unique<ThreadPool>(ThreadPool::Options{
      .name = "kv-http", .threads = kHttpThreads, .queue_tasks_max = kHttpQueueMax});
  auto http = HttpAdmin::Start(config_.http_listen, &view_, http_threads_.get());
  if (!http.ok()) return http.status();
  http_ = *std::move(http);
  view_.http_listen = http_->address();

  admin_ = std::make_unique<Admin>(&view_, [this] {
    core_->BeginDrain();
    eventfd_write(drain_asked_.get(), 1);
  });
  kv_service_ = std::make_unique<KvService>(core_.get(), &requests_, clock_);
  admin_service_ = std::make_unique<AdminService>(admin_.get(), &requests_, clock_);
  auto grpc = GrpcServer::Start({
      .listen = config_.listen,
      .control_socket = config_.control_socket,
      .services = {kv_service_.get(), admin_service_.get(), &cluster_service_},
      .service_names = {v1::KvService::service_full_name(),
                        v1::AdminService::service_full_name(),
                        v1::ClusterService::service_full_name()},
  });
  if (!grpc.ok()) return grpc.status();
  grpc_ = *std::move(grpc);
  // Only a port that nobody could know before is written here.
  if (config_.listen.port == 0) view_.listen.port = grpc_->address().port;
  cluster_service_.Begin(
      {.name = config_.node_name,
       .address = ReachableAddress(grpc_->address(), Machine::Inspect())});
  view_.reaped_ns = clock_->Now().time_since_epoch().count();
  view_.serving = true;
  grpc_->SetServing(tier_ == nullptr);
  return absl::OkStatus();
}

void Node::OpenTier(const TierOpener& open_tier) {
  if (tier_ == nullptr) return OnRecovered(absl::OkStatus());
  tier_->Open(
      [this, open_tier](const NodeTier::Executors& executors,
                        const NodeTier::Progress& progress) {
        return open_tier(config_, executors, progress);
      },
      [this] { return RocksTier::SetAside(config_.data_dir); }, &store_,
      [this](const absl::Status& status) { OnRecovered(status); });
}

void Node::OnRecovered(const absl::Status& status) {
  if (status.ok()) {
    core_->EndRecovery();
    view_.recovering = false;
    grpc_->SetServing(!core_->draining());
  }
  absl::MutexLock lock(&recovered_mu_);
  recovered_ = status;
}

std::optional<absl::Status> Node::recovered() const {
  absl::MutexLock lock(&recovered_mu_);
  return recovered_;
}

std::string Node::ReadyJson() const {
  nlohmann::ordered_json ready;
  ready["node_name"] = config_.node_name;
  ready["pid"] = getpid();
  ready["epoch"] = fmt::format("{:016x}", static_cast<uint64_t>(epoch_));
  ready["version"] = kVersion;
  ready["listen"] = view_.listen.ToString();
  ready["http_listen"] = view_.http_listen.ToString();
  ready["transports"] = nlohmann::json::array();
  for (const auto& transport : transports_.offered) {
    ready["transports"].push_back(TransportName(transport->kind()));
  }
  const bool tcp = !transports_.data_listen.host.empty();
  ready["data_listen"] = tcp ? view_.data_listen.ToString() : "";
  ready["shm_dir"] = config_.shm_dir;
  ready["memory_bytes"] = region_->bytes().size();
  return ready.dump();
}

void Node::BeginDrain() {
  if (drain_began_.has_value()) return;
  drain_began_ = clock_->Now();
  core_->BeginDrain();
  grpc_->SetServing(false);
  cluster_service_.BeginDrain();
}

bool Node::drained() const {
  if (!drain_began_.has_value()) return false;
  const BootClock::duration waited = clock_->Now() - *drain_began_;
  if (waited > kDrainPatience + kSavePatience) return true;
  if (waited <= kDrainPatience) {
    if (!core_->drained()) return false;
    const bool unread = core_->stats().read_leases == 0;
    if (!unread && waited <= config_.lease_ttl + kLeaseGrace) return false;
  }
  return Saved();
}

bool Node::Saved() const {
  if (tier_ == nullptr) return true;
  save_asked_ = true;
  return saved_;
}

}  // namespace kvasir
