#include "rdma/tcp_offer.h"

#include <fmt/core.h>

#include <cstring>

#include "base/limits.h"

namespace kvasir {
namespace {

// The last digit is the version.
constexpr std::string_view kHello = "kvasir tcp hello 1";
constexpr std::string_view kOffer = "kvasir tcp offer 1";

}  // namespace

std::string EncodeTcpHello() { return std::string(kHello); }

absl::Status CheckTcpHello(std::string_view hello) {
  if (hello == kHello) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("accept tcp lane: {} bytes are not a hello", hello.size()));
}

std::string EncodeTcpOffer(const TcpOffer& offer) {
  std::string text(kOffer);
  text.append(reinterpret_cast<const char*>(offer.nonce.data()), offer.nonce.size());
  return text + FormatHostPort(offer.address);
}

absl::StatusOr<TcpOffer> DecodeTcpOffer(std::string_view text) {
  if (text.size() > kMaxEndpointBytes || text.size() < kOffer.size() + kFrameNonceBytes ||
      !text.starts_with(kOffer)) {
    return absl::InvalidArgumentError(
        fmt::format("connect tcp lane: {} bytes are not an offer", text.size()));
  }
  text.remove_prefix(kOffer.size());
  TcpOffer offer;
  std::memcpy(offer.nonce.data(), text.data(), offer.nonce.size());
  absl::StatusOr<HostPort> address = ParseHostPort(text.substr(offer.nonce.size()));
  if (!address.ok()) return address.status();
  offer.address = *std::move(address);
  return offer;
}

}  // namespace kvasir
