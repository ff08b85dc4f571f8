// Lookup of 64 keys of 80 bytes through the SDK, against gRPC with messages of the same
// sizes and nothing behind them: one unary call, and one ping-pong on a bare stream.
// First one caller's median, then calls a second of 64 callers.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/check.h"
#include "client/client.h"
#include "tests/bench/baselines.h"
#include "tests/bench/bench_server.h"
#include "tests/bench/measure.h"

namespace kvasir::bench {
namespace {

constexpr int kKeys = 64;
constexpr int kKeyBytes = 80;
constexpr int kCallers = 64;
constexpr int kRounds = 7;
constexpr int kCallsPerRound = 2000;
constexpr int kCallsPerCaller = kCallsPerRound / 4;
// Length of a LookupResponse of 64 keys: 64 bytes of residency and the two counts.
constexpr uint64_t kReplyBytes = 68;

std::vector<std::string> MakeKeys() {
  std::vector<std::string> keys;
  for (int i = 0; i < kKeys; ++i) {
    std::string key = "model-70b@8@3@" + std::to_string(i) + "@";
    key.resize(kKeyBytes, 'k');
    keys.push_back(key);
  }
  return keys;
}

// One caller's way to do the call once.
using Call = std::function<void()>;

Call LookupCall(Client* client, const std::vector<std::string_view>* keys) {
  return [client, keys] {
    const LookupResult result = client->Lookup(*keys, {});
    KV_CHECK(result.prefix_count == keys->size());
  };
}

v1::EchoRequest MakeEchoRequest(const std::vector<std::string>& keys) {
  v1::EchoRequest request;
  for (const std::string& key : keys) request.add_parts(key);
  request.set_reply_bytes(kReplyBytes);
  return request;
}

Call UnaryCall(v1::BareService::Stub* stub, const v1::EchoRequest* request) {
  return [stub, request] {
    grpc::ClientContext context;
    v1::EchoResponse response;
    KV_CHECK(stub->Echo(&context, *request, &response).ok());
  };
}

// A stream that lives as long as the call object.
struct OpenStream {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::EchoStreamRequest, v1::EchoStreamResponse>>
      stream;
  v1::EchoStreamRequest request;
  v1::EchoStreamResponse response;
  ~OpenStream() {
    stream->WritesDone();
    stream->Finish().IgnoreError();
  }
};

Call StreamCall(v1::BareService::Stub* stub, const v1::EchoRequest& request) {
  auto open = std::make_shared<OpenStream>();
  *open->request.mutable_request() = request;
  open->stream = stub->EchoStream(&open->context);
  return [open] {
    KV_CHECK(open->stream->Write(open->request) && open->stream->Read(&open->response));
  };
}

double MedianMicroseconds(const Call& call) {
  std::vector<double> us;
  for (int i = 0; i < kCallsPerRound; ++i) us.push_back(Seconds(call) * 1e6);
  return Median(std::move(us));
}

double CallsPerSecond(const std::vector<Call>& calls) {
  const double seconds = Seconds([&calls] {
    std::vector<std::thread> callers;
    for (const Call& call : calls) {
      callers.emplace_back([&call] {
        for (int i = 0; i < kCallsPerCaller; ++i) call();
      });
    }
    for (std::thread& caller : callers) caller.join();
  });
  return static_cast<double>(calls.size()) * kCallsPerCaller / seconds;
}

// Processor microseconds a call, at either end, of one side of a comparison.
struct Processor {
  pid_t server;
  std::vector<double> client_us, server_us;
};

// Calls a second of all callers at once; their processor time goes into *processor.
double MeasureCalls(const std::vector<Call>& calls, Processor* processor) {
  const double client = ProcessorSeconds(0);
  const double server = ProcessorSeconds(processor->server);
  const double rate = CallsPerSecond(calls);
  const double us_a_call = 1e6 / (static_cast<double>(calls.size()) * kCallsPerCaller);
  processor->client_us.push_back((ProcessorSeconds(0) - client) * us_a_call);
  processor->server_us.push_back((ProcessorSeconds(processor->server) - server) * us_a_call);
  return rate;
}

struct Calls {
  Call lookup, unary, stream;
};

void CompareOneCaller(const Calls& calls) {
  const Side sides[] = {
      {"lookup", [&] { return MedianMicroseconds(calls.lookup); }},
      {"unary", [&] { return MedianMicroseconds(calls.unary); }},
      {"stream", [&] { return MedianMicroseconds(calls.stream); }},
  };
  const std::vector<double> us = InterleavedMedians(sides, kRounds);
  std::printf("lookup of %d keys of %d B, p50: %.1f us; bare unary %.1f us; bare stream %.1f us\n",
              kKeys, kKeyBytes, us[0], us[1], us[2]);
  PrintAtMost("lookup_64_keys_p50_vs_unary", us[0] / us[1], 0.8);
  PrintAtMost("lookup_64_keys_p50_vs_stream", us[0] / us[2], 1.25);
}

void CompareManyCallers(const std::vector<Calls>& callers, pid_t server, pid_t bare_server) {
  std::vector<Call> lookups, unaries, streams;
  for (const Calls& calls : callers) {
    lookups.push_back(calls.lookup);
    unaries.push_back(calls.unary);
    streams.push_back(calls.stream);
  }
  Processor processors[] = {{server, {}, {}}, {bare_server, {}, {}}, {bare_server, {}, {}}};
  const Side sides[] = {
      {"lookup", [&] { return MeasureCalls(lookups, &processors[0]); }},
      {"bare unary", [&] { return MeasureCalls(unaries, &processors[1]); }},
      {"bare stream", [&] { return MeasureCalls(streams, &processors[2]); }},
  };
  const std::vector<double> rate = InterleavedMedians(sides, 5);
  for (size_t i = 0; i < std::size(sides); ++i) {
    std::printf("%d callers, %s: %.0f/s, processor us a call: client %.1f, server %.1f\n",
                kCallers, sides[i].name.c_str(), rate[i], Median(processors[i].client_us),
                Median(processors[i].server_us));
  }
  PrintAtLeast("lookup_64_keys_per_second_64_lanes_vs_unary", rate[0] / rate[1], 1.4);
  PrintAtLeast("lookup_64_keys_per_second_64_lanes_vs_stream", rate[0] / rate[2], 0.75);
}

int Main() {
  const BaselineServers baselines;
  const std::unique_ptr<BenchServer> server = BenchServer::Start("64MiB");
  const std::unique_ptr<Client> client =
      server->Connect({.timeout = std::chrono::seconds(10), .lanes_per_node = kCallers});
  const std::vector<std::string> keys = MakeKeys();
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  const std::string value(64, 'v');
  const std::span<const std::byte> payload = std::as_bytes(std::span(value));
  std::vector<PutItem> items;
  for (const std::string_view key : views) {
    items.push_back({.key = key, .payload = {&payload, 1}, .attributes = {}});
  }
  for (const absl::Status& status : client->Put(items, {})) KV_CHECK(status.ok());

  const v1::EchoRequest request = MakeEchoRequest(keys);
  const auto stub = BareStub(baselines.grpc_address());
  std::vector<Calls> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.push_back({.lookup = LookupCall(client.get(), &views),
                       .unary = UnaryCall(stub.get(), &request),
                       .stream = StreamCall(stub.get(), request)});
  }
  CompareOneCaller(callers[0]);
  CompareManyCallers(callers, server->pid(), baselines.pid());
  return 0;
}

}  // namespace
}  // namespace kvasir::bench

int main() { return kvasir::bench::Main(); }
