#ifndef KVASIR_TESTS_BENCH_BASELINES_H_
#define KVASIR_TESTS_BENCH_BASELINES_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/fd.h"
#include "kvasir/bench/v1/bare.grpc.pb.h"

// What Kvasir is measured against, in a process of its own as kvasird is: a gRPC server
// that does nothing, and a TCP server that sends or swallows as many bytes as it is
// asked to. Clients of both are here too.
namespace kvasir::bench {

// The process of the two servers, on free loopback ports. It dies with this one.
class BaselineServers {
 public:
  // Forks, so it must come before any thread or gRPC call of this process.
  BaselineServers();
  ~BaselineServers();
  BaselineServers(const BaselineServers&) = delete;
  BaselineServers& operator=(const BaselineServers&) = delete;

  std::string grpc_address() const;
  uint16_t socket_port() const { return ports_.socket; }
  pid_t pid() const { return child_; }

  struct Ports {
    uint16_t grpc = 0;
    uint16_t socket = 0;
  };

 private:
  Ports ports_;
  pid_t child_ = -1;
};

// A connection to the raw TCP server. Blocking; TCP_NODELAY.
class RawSocket {
 public:
  explicit RawSocket(uint16_t port);
  // Asks for as many bytes as `into` holds and reads them.
  void Receive(std::span<std::byte> into);
  // Sends `from` and waits for one byte that says that it has arrived.
  void Send(std::span<const std::byte> from);

 private:
  UniqueFd socket_;
};

// A unary stub on a channel of its own, with messages of any size.
std::unique_ptr<v1::BareService::Stub> BareStub(const std::string& address);

}  // namespace kvasir::bench

#endif  // KVASIR_TESTS_BENCH_BASELINES_H_
