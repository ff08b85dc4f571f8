#include "tests/simulation/server.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/check.h"

namespace kvasir::sim {
namespace {

TieredStore::Options StoreOptions(const Weather& weather) {
  TieredStore::Options options;
  if (!weather.disk) return options;
  options.demotion.save_watermark = weather.save_watermark;
  if (weather.write_through) options.write_policy = WritePolicy::kWriteThrough;
  return options;
}

}  // namespace

Server::Boot::Boot(const World& world, uint64_t number)
    : arena(world.region),
      store(&arena, StoreOptions(*world.weather), world.process, world.disk->executor(),
            world.disk->executor()),
      sealer(Epoch{number * 0x9e3779b97f4a7c15u}),
      leases(&sealer),
      transport(world.fabric->NewServer(&leases)),
      core({.node_name = "node",
            .epoch = Epoch{number * 0x9e3779b97f4a7c15u},
            .lease_ttl = world.weather->lease_ttl,
            .heartbeat_interval = world.weather->session_silence / 3,
            .session_silence = world.weather->session_silence},
           world.process, &store, &leases, {transport.get()}) {
  KV_CHECK(transport->Export(*world.region).ok());
  if (world.weather->disk) store.Attach(world.disk);
}

void Server::Start() {
  KV_CHECK(!up());
  ++boots_;
  world_.trace->Say("server starts, boot {}", boots_);
  if (world_.weather->disk) world_.disk->Recover(disk_survives_);
  boot_ = std::make_unique<Boot>(world_, boots_);
  Step(boots_);
}

void Server::Crash() {
  world_.trace->Say("server dies");
  End(Durability::kProcess);
}

void Server::Stop() {
  world_.trace->Say("server stops");
  End(Durability::kNone);
}

void Server::End(Durability disk_survives) {
  KV_CHECK(up());
  // Tasks under way for the disk end while what they work on is still there.
  dying_ = true;
  world_.disk->Die();
  // The queue pairs go before anything that is told of it.
  boot_.reset();
  dying_ = false;
  disk_survives_ = disk_survives;
  world_.oracle->OnRestart();
}

bool Server::Save() { return boot_->store.SaveStep(); }

void Server::Step(uint64_t boot) {
  if (!up() || boot != boots_) return;
  const bool runs = world_.process->runs_from() <= world_.scheduler->Now();
  if (runs) {
    boot_->core.Step();
    if (world_.weather->disk || world_.dice->Chance(200'000)) boot_->store.Step();
    if (world_.dice->Chance(world_.weather->evicted)) {
      boot_->store.memory()->Evict(boot_->arena.usage().capacity_bytes);
    }
  }
  world_.scheduler->After(world_.weather->reaper_interval, [this, boot] { Step(boot); });
}

bool Server::CanRead(SessionId session, LaneId lane) const {
  return world_.fabric->CanRead(session, lane);
}

bool Server::IsLive(SessionId session) const {
  const std::vector<KvCore::SessionView> sessions = boot_->core.sessions();
  return std::any_of(sessions.begin(), sessions.end(),
                     [session](const auto& view) { return view.session == session; });
}

bool Server::IsResident(std::string_view key) const {
  return boot_->store.Probe(key) >= Residency::kMemory;
}

std::optional<uint64_t> Server::OffsetOf(std::string_view key) const {
  const absl::StatusOr<BlockRef> block = boot_->store.Peek(key);
  if (!block.ok()) return std::nullopt;
  return block->extent().offset_bytes;
}

// Of the disk's work; it is well again by then.
std::string Server::LeftBelow() const {
  const TieredStore::Stats stats = boot_->store.stats();
  const TierState state = boot_->store.health()->state();
  if (state == TierState::kHealthy && stats.erasures == 0 &&
      stats.writer.queued_blocks == 0 && stats.promoter.queued_blocks == 0) {
    return "";
  }
  return fmt::format("a disk that is {}, {} deletions, {} stores, {} loads",
                     TierStateName(state), stats.erasures, stats.writer.queued_blocks,
                     stats.promoter.queued_blocks);
}

std::string Server::Leftovers() const {
  const KvCore::Stats held = boot_->core.stats();
  const BlockStore::Stats stored = boot_->store.stats().memory;
  const Arena::Usage usage = boot_->arena.usage();
  const uint64_t free_bytes = usage.capacity_bytes - usage.allocated_bytes;
  const bool clean = held.sessions == 0 && held.lanes == 0 && held.read_leases == 0 &&
                     held.write_leases == 0 && held.pins == 0 &&
                     held.quarantined_blocks == 0 && stored.reserved_blocks == 0 &&
                     stored.unbound_blocks == 0;
  if (clean && free_bytes + stored.block_bytes == usage.capacity_bytes) {
    return LeftBelow();
  }
  return fmt::format(
      "{} sessions, {} lanes, {} read and {} write leases, {} pins, {} quarantined, {} "
      "reserved, {} unbound; {} free + {} published of {} bytes",
      held.sessions, held.lanes, held.read_leases, held.write_leases, held.pins,
      held.quarantined_blocks, stored.reserved_blocks, stored.unbound_blocks, free_bytes,
      stored.block_bytes, usage.capacity_bytes);
}

void Server::AddStats(KvCore::Stats* sum) const {
  const KvCore::Stats one = boot_->core.stats();
  sum->expired_reads += one.expired_reads;
  sum->expired_writes += one.expired_writes;
  sum->expired_pins += one.expired_pins;
  sum->expired_sessions += one.expired_sessions;
  sum->commit_checksum_failures += one.commit_checksum_failures;
  sum->write_refused += one.write_refused;
  sum->refused_requests += one.refused_requests;
}

}  // namespace kvasir::sim
