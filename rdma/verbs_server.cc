#include "rdma/verbs_server.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/hash/hash.h"
#include "base/log.h"
#include "rdma/verbs_queue.h"
#include "rdma/verbs_wire.h"

namespace kvasir {
namespace {

constexpr std::chrono::milliseconds kMessageWaitMax{25};

}  // namespace

absl::StatusOr<std::unique_ptr<VerbsServer>> VerbsServer::Create(const Options& options) {
  if (options.loops == 0) return absl::InvalidArgumentError("start rdma server: 0 loops");
  absl::StatusOr<std::vector<std::unique_ptr<VerbsDevice>>> rails =
      OpenVerbsRails(options.devices);
  if (!rails.ok()) return rails.status();
  Loops loops, message_loops;
  while (loops.size() < options.loops) {
    auto loop = VerbsLoop::Make(*rails, {.watches_devices = loops.empty()});
    auto message_loop = VerbsLoop::Make(*rails, {.solicited_only = true});
    if (!loop.ok()) return loop.status();
    if (!message_loop.ok()) return message_loop.status();
    loops.push_back(*std::move(loop));
    message_loops.push_back(*std::move(message_loop));
  }
  return std::unique_ptr<VerbsServer>(new VerbsServer(
      options, *std::move(rails), std::move(message_loops), std::move(loops)));
}

VerbsServer::VerbsServer(const Options& options,
                         std::vector<std::unique_ptr<VerbsDevice>> rails,
                         Loops message_loops, Loops loops)
    : options_(options),
      rails_(std::move(rails)),
      exports_(rails_),
      message_loops_(std::move(message_loops)),
      loops_(std::move(loops)),
      lanes_(lanes_max()) {}

// Lanes first: their queue pairs use the loops' completion queues.
VerbsServer::~VerbsServer() = default;

std::string VerbsServer::Describe() const {
  std::string text;
  for (const auto& rail : rails_) {
    text += fmt::format("{}{}", text.empty() ? "" : "; ", rail->description());
  }
  return text;
}

std::vector<VerbsPort> VerbsServer::ports() const {
  std::vector<VerbsPort> ports;
  for (const auto& rail : rails_) ports.push_back({rail->name(), rail->port()});
  return ports;
}

// All of them may be on one loop, with the completions of as many that are gone. The most
// that a lane may have on one rail's queue are those of a receive and of answers.
size_t VerbsServer::lanes_max() const {
  return loops_[0]->completions_max() / (2 * (1 + kVerbsAnswersMax));
}

absl::Status VerbsServer::Export(const Region& region) {
  return exports_.Add(region, options_.registrar);
}

VerbsLoop& VerbsServer::LoopOf(const SessionId& session) const {
  return *loops_[absl::HashOf(session) % loops_.size()];
}

VerbsLoop& VerbsServer::MessageLoopOf(const SessionId& session) const {
  return *message_loops_[absl::HashOf(session) % message_loops_.size()];
}

absl::StatusOr<std::string> VerbsServer::Accept(SessionId session, LaneId lane,
                                                std::string_view hello) {
  const absl::StatusOr<VerbsHello> decoded = DecodeVerbsHello(hello);
  if (!decoded.ok()) return decoded.status();
  const size_t rails = std::min(decoded->rails.size(), rails_.size());
  VerbsOffer offer{.session = session, .lane = lane};
  std::vector<VerbsLaneTable::Queue> queues;
  absl::Status last;
  for (size_t i = 0; i < rails; ++i) {
    const VerbsRail& asked = decoded->rails[i];
    absl::StatusOr<VerbsRail> rail = AcceptRail({session, lane}, i, asked, &queues);
    if (absl::IsUnavailable(rail.status())) {
      last = rail.status();
      Log(LogLevel::kWarning,
          fmt::format("rdma: rail {} is left out: {}", i, std::string(last.message())));
      rail = VerbsRail{.mtu_bytes = asked.mtu_bytes, .reads_max = asked.reads_max};
    }
    if (!rail.ok()) return rail.status();
    offer.rails.push_back(*rail);
  }
  if (queues.empty()) return last;
  offer.regions = exports_.Offer(rails);
  offer.takes_messages =
      std::any_of(queues.begin(), queues.end(),
                  [](const VerbsLaneTable::Queue& queue) { return queue.mail != nullptr; });
  absl::Status added = lanes_.Add(session, lane, std::move(queues));
  if (!added.ok()) return added;
  return EncodeVerbsOffer(offer);
}

absl::StatusOr<VerbsRail> VerbsServer::AcceptRail(
    const LaneName& name, size_t rail, const VerbsRail& hello,
    std::vector<VerbsLaneTable::Queue>* queues) {
  const VerbsDevice& device = *rails_[rail];
  VerbsRail offered = device.address();
  if ((offered.lid != 0) != (hello.lid != 0)) {
    return absl::FailedPreconditionError(
        fmt::format("open rdma lane: rail {} is {} here and not at the client", rail,
                    offered.lid != 0 ? "InfiniBand" : "Ethernet"));
  }
  offered.mtu_bytes = std::min(offered.mtu_bytes, hello.mtu_bytes);
  offered.reads_max = std::min(device.limits().reads_in, hello.reads_max);
  offered.read_psn = RandomVerbsPsn();
  std::vector<VerbsLaneTable::Queue> made;
  for (const Access access : {Access::kRead, Access::kWrite}) {
    absl::StatusOr<VerbsLaneTable::Queue> queue =
        AcceptQueue(name, rail, access, hello, offered);
    if (!queue.ok()) return queue.status();
    (access == Access::kRead ? offered.read_qp : offered.write_qp) = queue->qp->qp_num;
    made.push_back(*std::move(queue));
  }
  std::move(made.begin(), made.end(), std::back_inserter(*queues));
  return offered;
}

absl::StatusOr<VerbsLaneTable::Queue> VerbsServer::AcceptQueue(const LaneName& name,
                                                               size_t rail, Access access,
                                                               const VerbsRail& hello,
                                                               const VerbsRail& offered) {
  const bool reads = access == Access::kRead;
  VerbsLaneTable::Queue queue{.access = access, .tag = lanes_.NewTag()};
  if (handler_ && rail == 0 && reads) queue.mailbox = MakeMailbox(rail);
  const bool messages = queue.mailbox != nullptr;
  VerbsLoop& loop = messages ? MessageLoopOf(name.session) : LoopOf(name.session);
  absl::StatusOr<VerbsQp> qp = MakeVerbsQueue(
      *rails_[rail],
      {.cq = loop.cq(rail),
       .sends_max = messages ? kVerbsAnswersMax : 1,
       .tag = queue.tag,
       .with_receive = !messages,
       .remote_access = reads ? IBV_ACCESS_REMOTE_READ : IBV_ACCESS_REMOTE_WRITE});
  if (!qp.ok()) return qp.status();
  queue.qp = *std::move(qp);
  absl::Status ready;
  if (messages) {
    queue.mail = std::make_shared<VerbsLaneMail>(name.session, name.lane, queue.tag);
    ready = queue.mail->Open(queue.qp.get(), queue.mailbox.get());
  }
  VerbsPeerQueue peer{.address = hello,
                      .qp = reads ? hello.read_qp : hello.write_qp,
                      .psn = reads ? hello.read_psn : hello.write_psn,
                      .reads_max = reads ? offered.reads_max : 0};
  peer.address.mtu_bytes = offered.mtu_bytes;
  if (ready.ok()) ready = ConnectVerbsQueue(queue.qp.get(), *rails_[rail], peer);
  if (ready.ok() && messages) {
    ready = StartVerbsRequests(queue.qp.get(), {.psn = offered.read_psn, .reads_max = 0});
  }
  if (!ready.ok()) return ready;
  return queue;
}

std::unique_ptr<VerbsMailbox> VerbsServer::MakeMailbox(size_t rail) const {
  absl::StatusOr<std::unique_ptr<VerbsMailbox>> mailbox = VerbsMailbox::Make(*rails_[rail]);
  if (mailbox.ok()) return *std::move(mailbox);
  Log(LogLevel::kWarning, fmt::format("rdma: a lane carries no messages: {}",
                                      std::string(mailbox.status().message())));
  return nullptr;
}

void VerbsServer::Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) {
  std::vector<VerbsCutQueue> queues = lanes_.Take(target);
  if (queues.empty()) return std::move(done)();
  LoopOf(target.session).Submit({.queues = std::move(queues), .done = std::move(done)});
}

void VerbsServer::OnGranted(Access access, uint64_t size_bytes) {
  Granted& granted = access == Access::kRead ? reads_ : writes_;
  granted.blocks.fetch_add(1, std::memory_order_relaxed);
  granted.bytes.fetch_add(size_bytes, std::memory_order_relaxed);
}

void VerbsServer::Poll(size_t loop, std::chrono::milliseconds wait_max) {
  const auto completed = [this](const ibv_wc& completion) { OnCompletion(completion); };
  if (loop < loops_.size()) return loops_[loop]->Poll(wait_max, completed);
  // An event may stay away (kAwaitMax in verbs_lane.cc), and somebody waits for the answer.
  message_loops_[loop - loops_.size()]->Poll(
      lanes_.lanes() > 0 ? std::min(wait_max, kMessageWaitMax) : wait_max, completed);
}

void VerbsServer::OnCompletion(const ibv_wc& completion) {
  const uint64_t tag = completion.wr_id & ~kVerbsReplyBit;
  const bool good = completion.status == IBV_WC_SUCCESS;
  const std::shared_ptr<VerbsLaneMail> mail = good ? lanes_.MailOf(tag) : nullptr;
  if ((completion.wr_id & kVerbsReplyBit) == 0) {
    if (mail != nullptr) return OnMessage(mail, completion.byte_len);
  } else if (good) {
    if (mail != nullptr) mail->OnArrived();
    return;
  } else if (completion.status != IBV_WC_WR_FLUSH_ERR) {
    return lanes_.Lose(tag);
  }
  // A receive that came back, or an answer that was flushed: a refusal may come while a
  // message is being answered, and no receive is posted.
  if (!lanes_.Trip(tag)) return;
  Log(LogLevel::kWarning,
      "rdma: a NIC has refused a client's request and stopped its queue pair");
}

void VerbsServer::OnMessage(const std::shared_ptr<VerbsLaneMail>& mail, size_t bytes) {
  const std::optional<std::string> message = mail->Take(bytes);
  if (!message.has_value()) return;
  messages_.fetch_add(1, std::memory_order_relaxed);
  handler_(mail->session(), mail->lane(), *message,
           [mail](std::string_view answer) { return mail->Reply(answer); });
}

TransportStats VerbsServer::stats() const {
  const auto read = [](const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {.lanes = lanes_.lanes(),
          .read_bytes_total = read(reads_.bytes),
          .written_bytes_total = read(writes_.bytes),
          .read_ops_total = read(reads_.blocks),
          .written_ops_total = read(writes_.blocks),
          .refused_frames_total = lanes_.refusals(),
          .messages_total = read(messages_)};
}

}  // namespace kvasir
