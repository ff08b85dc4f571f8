#include "tests/simulation/network.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "proto/codec.h"
#include "tests/simulation/describe.h"

namespace kvasir::sim {
namespace {

template <typename Message>
absl::StatusOr<Message> Parse(const absl::StatusOr<std::string>& answer) {
  if (!answer.ok()) return answer.status();
  Message message;
  if (!message.ParseFromString(*answer))
    return absl::InternalError("read answer: garbled");
  return message;
}

}  // namespace

// ---- The client's view

class NetworkStream final : public ControlStream {
 public:
  NetworkStream(Network* network, Process* process)
      : network_(network), process_(process), link_(network->NewLink()) {}
  ~NetworkStream() override { Break(); }

  absl::Status Exchange(const v1::LaneRequest& request, v1::LaneResponse* response,
                        Instant deadline) override {
    if (broken_) return absl::UnavailableError("exchange: the stream has ended");
    Network* const network = network_;
    absl::StatusOr<v1::LaneResponse> answer = Parse<v1::LaneResponse>(network_->RoundTrip(
        process_, link_, deadline,
        [network, request](Network::Link* link, const Network::Reply& reply) {
          network->OnLane(link, request, reply);
        }));
    if (!answer.ok()) {
      Break();
      return answer.status();
    }
    *response = *std::move(answer);
    return response->has_error() ? FromLaneError(response->error()) : absl::OkStatus();
  }

 private:
  void Break() {
    if (std::exchange(broken_, true)) return;
    Network* const network = network_;
    network_->End(link_, [network](const Network::Link& link) {
      if (!link.lane_open) return;
      network->world_.trace->Say("server sees the end of lane {}",
                                 static_cast<uint64_t>(link.lane));
      network->world_.server->core()->CloseLane(link.session, link.lane);
    });
  }

  Network* const network_;
  Process* const process_;
  const Network::LinkId link_;
  bool broken_ = false;
};

class NetworkHeartbeat final : public HeartbeatStream {
 public:
  NetworkHeartbeat(Network* network, Process* process, SessionId session)
      : network_(network),
        process_(process),
        session_(session),
        link_(network->NewLink()) {}
  ~NetworkHeartbeat() override {
    Network* const network = network_;
    network_->End(link_, [network, session = session_](const Network::Link&) {
      network->world_.trace->Say("server sees the end of session {}", session.ToString());
      network->world_.server->core()->CloseSession(session);
    });
  }

  absl::StatusOr<bool> Beat(Instant deadline) override {
    Network* const network = network_;
    const absl::StatusOr<std::string> answer = network_->RoundTrip(
        process_, link_, deadline,
        [network, session = session_](Network::Link*, const Network::Reply& reply) {
          KvCore* const core = network->world_.server->core();
          const absl::Status status = core->Heartbeat(session);
          if (!status.ok()) return reply(status);
          reply(std::string(core->draining() ? "draining" : ""));
        });
    if (!answer.ok()) return answer.status();
    return !answer->empty();
  }

 private:
  Network* const network_;
  Process* const process_;
  const SessionId session_;
  const Network::LinkId link_;
};

class NetworkChannel final : public ControlChannel {
 public:
  NetworkChannel(Network* network, Process* process)
      : network_(network), process_(process) {}

  absl::StatusOr<v1::OpenSessionResponse> OpenSession(
      const v1::OpenSessionRequest& request, Instant deadline) override {
    Server* const server = network_->world_.server;
    return Parse<v1::OpenSessionResponse>(network_->RoundTrip(
        process_, network_->NewLink(), deadline,
        [server, request](Network::Link*, const Network::Reply& reply) {
          v1::OpenSessionResponse response;
          const absl::Status status = server->core()->OpenSession(request, &response);
          if (!status.ok()) return reply(status);
          reply(response.SerializeAsString());
        }));
  }
  std::unique_ptr<HeartbeatStream> OpenHeartbeat(SessionId session) override {
    return std::make_unique<NetworkHeartbeat>(network_, process_, session);
  }
  std::unique_ptr<ControlStream> OpenStream() override {
    return std::make_unique<NetworkStream>(network_, process_);
  }
  absl::Status CloseSession(SessionId session, Instant deadline) override {
    Server* const server = network_->world_.server;
    return network_
        ->RoundTrip(process_, network_->NewLink(), deadline,
                    [server, session](Network::Link*, const Network::Reply& reply) {
                      server->core()->CloseSession(session);
                      reply(std::string());
                    })
        .status();
  }

 private:
  Network* const network_;
  Process* const process_;
};

std::unique_ptr<ControlChannel> Network::NewChannel(Process* process) {
  return std::make_unique<NetworkChannel>(this, process);
}

// ---- On the wire

bool Network::Strikes(uint64_t per_million) {
  return !calm_ && world_.dice->Chance(per_million);
}

BootClock::duration Network::Delay() {
  return calm_ ? BootClock::duration(1'000) : world_.weather->MessageDelay(world_.dice);
}

absl::StatusOr<std::string> Network::RoundTrip(Process* process, LinkId link,
                                               Instant deadline,
                                               const AtServer& at_server) {
  if (process->killed()) return absl::UnavailableError("call: the process was killed");
  const CallId id{++last_id_};
  const Scheduler::Ticket ticket = world_.scheduler->NewTicket();
  calls_[id] = {.ticket = ticket,
                .answer = absl::DeadlineExceededError("call: no answer in time")};
  if (Strikes(world_.weather->message_lost)) {
    ++counters_.lost;
    world_.trace->Say("{}: message lost", process->name());
  } else {
    Send(link, id, at_server);
  }
  if (Strikes(world_.weather->stream_reset)) {
    ++counters_.resets;
    world_.trace->Say("{}: connection reset", process->name());
    world_.scheduler->After(Delay(), [this, id] {
      Answer(id, absl::UnavailableError("call: connection reset"));
    });
  }
  world_.scheduler->Park(ticket, process->WorldTime(deadline));
  absl::StatusOr<std::string> answer = std::move(calls_.at(id).answer);
  calls_.erase(id);
  if (process->killed()) return absl::UnavailableError("call: the process was killed");
  return answer;
}

void Network::Send(LinkId link, CallId call, const AtServer& at_server) {
  Link& state = links_[link];
  const Instant now = world_.scheduler->Now();
  const Instant arrival =
      std::max(now + Delay(), state.last_arrival + BootClock::duration(1));
  state.last_arrival = arrival;
  world_.scheduler->At(arrival,
                       [this, link, call, at_server] { Arrive(link, call, at_server); });
  if (!Strikes(world_.weather->message_duplicated)) return;
  ++counters_.duplicated;
  const auto later = world_.dice->Chance(500'000)
                         ? Delay()
                         : world_.dice->Between(BootClock::duration(0),
                                                2 * world_.weather->message_slow_max);
  world_.scheduler->At(arrival + later, [this, link, at_server] {
    world_.trace->Say("a message arrives again");
    Arrive(link, CallId{}, at_server);
  });
}

void Network::Arrive(LinkId link, CallId call, const AtServer& at_server) {
  Server* const server = world_.server;
  Link& state = links_[link];
  if (!server->up() || (state.boot != 0 && state.boot != server->boot())) {
    // A machine that is up refuses, one that is not is silent.
    if (!Strikes(500'000)) {
      Answer(call, absl::UnavailableError("call: connection refused"));
    }
    return;
  }
  if (server->process().runs_from() > world_.scheduler->Now()) {
    world_.scheduler->At(server->process().runs_from(), [this, link, call, at_server] {
      Arrive(link, call, at_server);
    });
    return;
  }
  state.boot = server->boot();
  at_server(&state, [this, call](const absl::StatusOr<std::string>& answer) {
    if (Strikes(world_.weather->message_lost)) {
      ++counters_.lost;
      world_.trace->Say("answer lost");
      return;
    }
    world_.scheduler->After(Delay(), [this, call, answer] { Answer(call, answer); });
  });
}

void Network::Answer(CallId call, absl::StatusOr<std::string> answer) {
  const auto it = calls_.find(call);
  if (it == calls_.end()) return;
  it->second.answer = std::move(answer);
  world_.scheduler->Notify(it->second.ticket);
}

void Network::End(LinkId link, std::function<void(const Link& link)> at_server) {
  if (Strikes(world_.weather->end_unseen)) return;
  const Instant when = std::max(world_.scheduler->Now() + Delay(),
                                links_[link].last_arrival + BootClock::duration(1));
  world_.scheduler->At(when, [this, link, at_server = std::move(at_server)] {
    Server* const server = world_.server;
    const Link& state = links_[link];
    if (!server->up() || state.boot != server->boot()) return;
    const Instant runs_from = server->process().runs_from();
    if (runs_from > world_.scheduler->Now()) {
      world_.scheduler->At(runs_from, [this, link, at_server] { End(link, at_server); });
      return;
    }
    at_server(state);
  });
}

// ---- At the server

void Network::OnLane(Link* link, const v1::LaneRequest& request, const Reply& reply) {
  if (link->lane_open) {
    const uint64_t boot = world_.server->boot();
    const bool put_off = world_.server->core()->WhenSettled(
        link->session, request, [this, link, request, boot, reply] {
          world_.scheduler->After(BootClock::duration(0), [=, this] {
            GoOnOnLane(link, request, boot, reply);
          });
        });
    if (put_off) {
      ++counters_.put_off;
      return;
    }
  }
  reply(HandleOnLane(link, request));
}

void Network::GoOnOnLane(Link* link, const v1::LaneRequest& request, uint64_t boot,
                         const Reply& reply) {
  Server* const server = world_.server;
  if (!server->up() || boot != server->boot()) return;
  const Instant runs_from = server->process().runs_from();
  if (runs_from > world_.scheduler->Now()) {
    world_.scheduler->At(runs_from,
                         [=, this] { GoOnOnLane(link, request, boot, reply); });
    return;
  }
  reply(HandleOnLane(link, request));
}

absl::StatusOr<std::string> Network::HandleOnLane(Link* link,
                                                  const v1::LaneRequest& request) {
  v1::LaneResponse response;
  if (request.has_open()) {
    // Its first message twice ends a stream; here the second is just not heard.
    if (link->lane_open) return absl::UnavailableError("open lane: it is open");
    OpenLane(link, request.open(), &response);
    return response.SerializeAsString();
  }
  if (!link->lane_open) return absl::UnavailableError("use lane: it is not open");
  world_.oracle->OnRequest(request);
  absl::AnyInvocable<void() &&> after_reply;
  KvCore* const core = world_.server->core();
  core->Handle(link->session, link->lane, request, &response, &after_reply);
  if (world_.trace->on()) {
    world_.trace->Say("server, lane {}:{}", static_cast<uint64_t>(link->lane),
                      Describe(request, response));
  }
  world_.oracle->OnAnswer(link->session, link->lane, request, response);
  if (after_reply) std::move(after_reply)();
  return response.SerializeAsString();
}

void Network::OpenLane(Link* link, const v1::OpenLaneRequest& open,
                       v1::LaneResponse* response) {
  const absl::StatusOr<SessionId> session = SessionId::FromBytes(open.session());
  absl::StatusOr<LaneId> lane =
      session.ok()
          ? world_.server->core()->OpenLane(*session, open, response->mutable_open())
          : session.status();
  if (!lane.ok()) {
    ToLaneError(lane.status(), response->mutable_error());
    return;
  }
  link->session = *session;
  link->lane = *lane;
  link->lane_open = true;
  world_.trace->Say("server: session {} opens lane {}", session->ToString(),
                    static_cast<uint64_t>(*lane));
}

}  // namespace kvasir::sim
