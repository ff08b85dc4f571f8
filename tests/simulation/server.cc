#include "tests/simulation/server.h"

#include <fmt/core.h>

#include "base/check.h"

namespace kvasir::sim {

Server::Boot::Boot(const World& world, uint64_t number)
    : arena(world.region),
      store(&arena, {}, world.process, nullptr, nullptr),
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
}

void Server::Start() {
  KV_CHECK(!up());
  ++boots_;
  world_.trace->Say("server starts, boot {}", boots_);
  boot_ = std::make_unique<Boot>(world_, boots_);
  Step(boots_);
}

void Server::Crash() {
  KV_CHECK(up());
  world_.trace->Say("server dies");
  // The queue pairs go before anything that is told of it.
  boot_.reset();
  world_.oracle->OnRestart();
}

void Server::Step(uint64_t boot) {
  if (!up() || boot != boots_) return;
  const bool runs = world_.process->runs_from() <= world_.scheduler->Now();
  if (runs) {
    boot_->core.Step();
    if (world_.dice->Chance(200'000)) boot_->store.Step();
  }
  world_.scheduler->After(world_.weather->reaper_interval, [this, boot] { Step(boot); });
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
  if (clean && free_bytes + stored.block_bytes == usage.capacity_bytes) return "";
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
