#ifndef KVASIR_TESTS_RDMA_TCP_PEER_H_
#define KVASIR_TESTS_RDMA_TCP_PEER_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "base/fd.h"
#include "rdma/frame.h"

namespace kvasir {

// Two ends of a loopback connection, nonblocking.
std::pair<UniqueFd, UniqueFd> TcpPair();

// A whole frame; sets the header's meta length.
std::string FrameOf(FrameHeader head, std::string_view meta = "",
                    std::string_view payload = "");

// One end of a tcp connection as a test sees it: says any bytes, reads frames. Waiting
// turns the crank of what is tested, in this thread.
class TcpPeer {
 public:
  struct Frame {
    FrameHeader head;
    std::string meta;
    std::string payload;
  };
  using Crank = absl::FunctionRef<void()>;

  explicit TcpPeer(UniqueFd fd) : fd_(std::move(fd)) {}
  // REQUIRES: somebody listens there.
  static TcpPeer ConnectTo(const std::string& address);

  // Sends all of `bytes`, or until the connection ends.
  void Send(std::string_view bytes, Crank crank);
  // The next frame; nothing if the connection ends first.
  std::optional<Frame> Receive(Crank crank);
  // Drops what comes until the connection ends. False if that takes too long.
  bool WaitForEnd(Crank crank);
  // Whether the connection goes on and nothing has come, without waiting.
  bool Quiet();
  // Nothing more will be sent; answers may still come.
  void EndSending();
  void Close() { fd_.reset(); }
  int fd() const { return fd_.get(); }

 private:
  // Fills `to`. False if the connection ends first.
  bool Fill(std::string* to, size_t bytes, Crank crank);

  UniqueFd fd_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_RDMA_TCP_PEER_H_
