#include "tests/bench/baselines.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/deadlock_detection.h"

namespace kvasir::bench {
namespace {

// What a raw client asks for: `bytes` to receive, or to send.
struct RawRequest {
  uint64_t bytes = 0;
  uint64_t client_sends = 0;
};

void ReadAll(int fd, void* to, size_t bytes) {
  auto* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t n = recv(fd, at, bytes, MSG_WAITALL);
    KV_CHECK(n > 0);
    at += n;
    bytes -= static_cast<size_t>(n);
  }
}

void WriteAll(int fd, const void* from, size_t bytes) {
  const auto* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t n = send(fd, at, bytes, MSG_NOSIGNAL);
    KV_CHECK(n > 0);
    at += n;
    bytes -= static_cast<size_t>(n);
  }
}

void ServeRawConnection(UniqueFd socket) {
  std::vector<char> buffer(64 << 20, 'x');
  RawRequest request;
  while (recv(socket.get(), &request, sizeof request, MSG_WAITALL) ==
         static_cast<ssize_t>(sizeof request)) {
    if (buffer.size() < request.bytes) buffer.resize(request.bytes);
    if (request.client_sends != 0) {
      ReadAll(socket.get(), buffer.data(), request.bytes);
      WriteAll(socket.get(), "k", 1);
    } else {
      WriteAll(socket.get(), buffer.data(), request.bytes);
    }
  }
}

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

void NoDelay(int fd) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

// Listens on a free loopback port and serves each connection in a thread.
uint16_t StartRawServer() {
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = Loopback(0);
  KV_CHECK(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  KV_CHECK(listen(listener.get(), 64) == 0);
  socklen_t length = sizeof address;
  getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length);
  std::thread([listener = std::move(listener)] {
    while (true) {
      UniqueFd accepted(accept(listener.get(), nullptr, nullptr));
      if (!accepted.valid()) return;
      NoDelay(accepted.get());
      std::thread(ServeRawConnection, std::move(accepted)).detach();
    }
  }).detach();
  return ntohs(address.sin_port);
}

class StreamReactor final
    : public grpc::ServerBidiReactor<v1::EchoStreamRequest, v1::EchoStreamResponse> {
 public:
  StreamReactor() { StartRead(&request_); }
  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    response_.mutable_response()->mutable_payload()->assign(request_.request().reply_bytes(),
                                                            'x');
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (ok) StartRead(&request_);
    if (!ok) Finish(grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  v1::EchoStreamRequest request_;
  v1::EchoStreamResponse response_;
};

class BareServer final : public v1::BareService::CallbackService {
  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context,
                                 const v1::EchoRequest* request,
                                 v1::EchoResponse* response) override {
    response->mutable_payload()->assign(request->reply_bytes(), 'x');
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerBidiReactor<v1::EchoStreamRequest, v1::EchoStreamResponse>* EchoStream(
      grpc::CallbackServerContext*) override {
    return new StreamReactor;
  }
};

[[noreturn]] void ServeBaselines(int ports_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  BaselineServers::Ports ports;
  ports.socket = StartRawServer();
  BareServer service;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ports.grpc = static_cast<uint16_t>(port);
  KV_CHECK(write(ports_fd, &ports, sizeof ports) == static_cast<ssize_t>(sizeof ports));
  server->Wait();
  _exit(0);
}

}  // namespace

BaselineServers::BaselineServers() {
  StopDeadlockDetection();  // As Kvasir does: the child has the same.
  int ends[2];
  KV_CHECK(pipe(ends) == 0);
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  child_ = fork();
  KV_CHECK(child_ >= 0);
  if (child_ == 0) ServeBaselines(write_end.get());
  KV_CHECK(read(read_end.get(), &ports_, sizeof ports_) ==
           static_cast<ssize_t>(sizeof ports_));
}

BaselineServers::~BaselineServers() {
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
}

std::string BaselineServers::grpc_address() const {
  return "127.0.0.1:" + std::to_string(ports_.grpc);
}

RawSocket::RawSocket(uint16_t port) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const sockaddr_in address = Loopback(port);
  KV_CHECK(connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address),
                   sizeof address) == 0);
  NoDelay(socket_.get());
}

void RawSocket::Receive(std::span<std::byte> into) {
  const RawRequest request{.bytes = into.size(), .client_sends = 0};
  WriteAll(socket_.get(), &request, sizeof request);
  ReadAll(socket_.get(), into.data(), into.size());
}

void RawSocket::Send(std::span<const std::byte> from) {
  const RawRequest request{.bytes = from.size(), .client_sends = 1};
  WriteAll(socket_.get(), &request, sizeof request);
  WriteAll(socket_.get(), from.data(), from.size());
  char arrived;
  ReadAll(socket_.get(), &arrived, 1);
}

std::unique_ptr<v1::BareService::Stub> BareStub(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  // A connection of its own, not one shared with other stubs of this address.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return v1::BareService::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
}

}  // namespace kvasir::bench
