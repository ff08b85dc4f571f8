#ifndef KVASIR_RDMA_TCP_OFFER_H_
#define KVASIR_RDMA_TCP_OFFER_H_

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rdma/frame.h"
#include "rdma/tcp_socket.h"

// What the two halves of the tcp transport say to each other through a Rendezvous.
namespace kvasir {

// A random secret that binds one connection to one lane, once.
using TcpNonce = std::array<std::byte, kFrameNonceBytes>;

struct TcpOffer {
  TcpNonce nonce{};
  // Where to connect. No host: where the control plane was reached.
  HostPort address;
};

std::string EncodeTcpHello();
// InvalidArgument if it is not a hello of this version.
absl::Status CheckTcpHello(std::string_view hello);

std::string EncodeTcpOffer(const TcpOffer& offer);
// InvalidArgument if it is not an offer of this version.
absl::StatusOr<TcpOffer> DecodeTcpOffer(std::string_view text);

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_OFFER_H_
