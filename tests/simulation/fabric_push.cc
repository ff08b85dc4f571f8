#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "tests/simulation/fabric.h"

// Blocks that a server which copies by itself sends with the grant, before it is asked.
namespace kvasir::sim {

bool Fabric::Push(SessionId session, LaneId lane,
                  std::span<ServerTransport::PushItem> items) {
  const auto it = std::find_if(servers_.begin(), servers_.end(), [&](const auto& entry) {
    return entry.second.session == session && entry.second.lane == lane;
  });
  if (it == servers_.end() || !it->second.reads) return false;
  for (const ServerTransport::PushItem& item : items) {
    Token token;
    token.lease = item.lease;
    token.sealed = item.sealed;
    for (uint64_t at = 0; at < item.size_bytes; at += world_.weather->packet_bytes) {
      const uint64_t size =
          std::min<uint64_t>(world_.weather->packet_bytes, item.size_bytes - at);
      Instant& last = it->second.last_push;
      last = std::max(world_.scheduler->Now() + world_.weather->PacketDelay(world_.dice),
                      last + BootClock::duration(1));
      world_.scheduler->At(last, [this, from = it->first, token, at, size] {
        PushPacket(from, token, at, size);
      });
    }
  }
  return true;
}

// The moment at which the server's CPU copies from the arena to the socket.
void Fabric::PushPacket(ServerQp from, Token token, uint64_t offset,
                        uint64_t size_bytes) {
  const auto it = servers_.find(from);
  if (it == servers_.end() || !it->second.reads || it->second.push_stalled) return;
  ServerEnd& end = it->second;
  std::string bytes;
  const absl::Status status = gate_->Admit(
      end.session, end.lane, token.sealed, Access::kRead, offset, size_bytes,
      [&](std::span<std::byte> copied) {
        world_.oracle->OnReadFetches(token, offset, size_bytes);
        bytes.assign(reinterpret_cast<const char*>(copied.data()), copied.size());
        return absl::OkStatus();
      });
  if (world_.dice->Chance(world_.weather->packet_lost)) {
    end.push_stalled = true;
    return;
  }
  if (world_.dice->Chance(world_.weather->packet_corrupted)) Damage(&bytes);
  // The wire keeps the order; what it adds is the same for all.
  world_.scheduler->After(
      BootClock::duration(1'000),
      [this, to = end.client, lease = static_cast<uint64_t>(token.lease),
       answer = status.ok() ? absl::StatusOr<std::string>(std::move(bytes)) : status] {
        ArrivePushed(to, lease, answer);
      });
}

void Fabric::ArrivePushed(ClientQp to, uint64_t lease,
                          absl::StatusOr<std::string> bytes) {
  ClientEnd& end = clients_.at(to);
  if (end.dead_from != Instant::max()) return;
  ClientEnd::Pushed& pushed = end.pushed[lease];
  if (bytes.ok()) {
    pushed.bytes += *bytes;
  } else {
    pushed.refused = bytes.status();
  }
  for (auto& [id, run] : runs_) {
    if (run.client != to) continue;
    for (size_t t = 0; t < run.batch.size(); ++t) {
      if (static_cast<uint64_t>(run.batch[t].token.lease) == lease)
        TakePushed(&run, &end, t);
    }
  }
}

void Fabric::TakePushed(RunState* run, ClientEnd* end, size_t transfer) {
  const Token& token = run->batch[transfer].token;
  const auto it = end->pushed.find(static_cast<uint64_t>(token.lease));
  if (it == end->pushed.end()) return;
  const ClientEnd::Pushed& pushed = it->second;
  if (!pushed.refused.ok()) {
    ++counters_.refused;
    Finish(run, transfer, pushed.refused);
  } else if (pushed.bytes.size() == token.extent.size_bytes) {
    Scatter(run->batch[transfer], 0, pushed.bytes);
    Finish(run, transfer, absl::OkStatus());
  } else {
    return;
  }
  end->pushed.erase(it);
}

}  // namespace kvasir::sim
