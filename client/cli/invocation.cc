#include "client/cli/invocation.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"
#include "client/cli/arguments.h"
#include "kvasir/v1/admin.pb.h"

namespace kvasir {
namespace {

TransportChoice ChoiceOf(const std::string& transport) {
  if (transport == "rdma") return TransportChoice::kRdma;
  if (transport == "shm") return TransportChoice::kShm;
  if (transport == "tcp") return TransportChoice::kTcp;
  return TransportChoice::kAuto;
}

}  // namespace

void Invocation::Run(const std::function<absl::StatusOr<ExitCode>()>& command) {
  const absl::StatusOr<ExitCode> result = command();
  if (!result.ok()) {
    Note(Explain(result.status(), server));
    exit_code = ExitCodeOf(result.status());
    return;
  }
  env.out->flush();
  exit_code = *result;
  if (env.out->fail()) {
    Note("standard output cannot be written");
    exit_code = ExitCode::kError;
  }
}

void Invocation::Print(const std::function<std::string()>& text,
                       const std::function<Json()>& object) {
  if (json()) {
    WriteJson(*env.out, object());
  } else {
    *env.out << text();
  }
}

void Invocation::Note(std::string_view text) { *env.err << "kvasir: " << text << "\n"; }

absl::StatusOr<std::chrono::milliseconds> Invocation::timeout() const {
  return ParseDuration(timeout_text);
}

absl::StatusOr<std::unique_ptr<AdminClient>> Invocation::Admin() const {
  const auto timeout_ms = timeout();
  if (!timeout_ms.ok()) return timeout_ms.status();
  return env.connect_admin({.address = server, .timeout = *timeout_ms});
}

absl::StatusOr<std::unique_ptr<Client>> Invocation::Data(const std::string& transport,
                                                         size_t batches) const {
  const auto timeout_ms = timeout();
  if (!timeout_ms.ok()) return timeout_ms.status();
  ClientOptions options;
  options.nodes = {server};
  options.client_name = "kvasir";
  options.transport = ChoiceOf(transport);
  options.rdma_device = rdma_device;
  options.rdma_port = rdma_port;
  options.rdma_gid_index = rdma_gid_index;
  options.timeout = *timeout_ms;
  options.connect_timeout = *timeout_ms;
  options.lanes_per_node = std::min(batches * kStripesMax, kMaxLanesPerSession);
  return env.connect_client(options);
}

void Invocation::RemovePrefix(const std::string& key_prefix) {
  const auto admin = Admin();
  absl::Status status = admin.status();
  if (admin.ok()) {
    v1::ClearRequest request;
    request.set_prefix(key_prefix);
    status = (*admin)->Clear(request).status();
  }
  if (!status.ok()) {
    Note(fmt::format("blocks may still be stored under {}: {}", key_prefix,
                     ToStd(status.message())));
  }
}

std::string TransportsUsed(const Client& client) {
  const ClientCounters counters = client.counters();
  std::string used;
  const auto add = [&used](std::string_view name, uint64_t bytes) {
    if (bytes > 0) used += fmt::format("{}{}", used.empty() ? "" : "+", name);
  };
  add("rdma", counters.got_bytes_rdma + counters.put_bytes_rdma);
  add("shm", counters.got_bytes_shm + counters.put_bytes_shm);
  add("tcp", counters.got_bytes_tcp + counters.put_bytes_tcp);
  if (!used.empty()) return used;
  for (const std::optional<std::string>& transport : client.transports()) {
    if (transport.has_value()) return *transport;
  }
  return "none";
}

void AddTransportOption(CLI::App* command, std::string* transport) {
  command->add_option("--transport", *transport, "How bytes move")
      ->check(CLI::IsMember({"auto", "rdma", "shm", "tcp"}))
      ->capture_default_str();
}

void AddDurableOption(CLI::App* command, std::string* durable) {
  command
      ->add_option("--durable", *durable,
                   "What a put is to survive: none, process (kill -9) or power")
      ->check(CLI::IsMember({"none", "process", "power"}))
      ->capture_default_str();
}

Durability DurabilityNamed(std::string_view name) {
  if (name == "none") return Durability::kNone;
  if (name == "process") return Durability::kProcess;
  KV_CHECK(name == "power");
  return Durability::kPower;
}

}  // namespace kvasir
