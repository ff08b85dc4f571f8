#include "rdma/shm_wire.h"

#include <fmt/core.h>

#include <cstring>
#include <fstream>
#include <type_traits>
#include <utility>

#include "base/bytes.h"
#include "base/random.h"

namespace kvasir {
namespace {

// The first eight bytes of every message: "KVSM", a version, a kind.
constexpr uint32_t kMagic = 0x4d53564b;
constexpr uint16_t kVersion = 1;
enum class Kind : uint16_t { kHello = 1, kOffer, kGreet, kWelcome, kRefuse, kPut, kAck };

constexpr size_t kBootIdBytesMax = 64;
constexpr size_t kReasonBytesMax = 512;

class Writer {
 public:
  explicit Writer(Kind kind) {
    Number(kMagic);
    Number(kVersion);
    Number(kind);
  }
  template <typename T>
  void Number(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    Text(std::string_view(reinterpret_cast<const char*>(&value), sizeof(value)));
  }
  void Text(std::string_view text) { out_.append(text); }
  std::string Take() && { return std::move(out_); }

 private:
  std::string out_;
};

// Reads past the end yield zeros and make Done() false.
class Reader {
 public:
  Reader(Kind kind, std::string_view in) : in_(in) {
    const bool magic = Number<uint32_t>() == kMagic;
    const bool version = Number<uint16_t>() == kVersion;
    ok_ = Number<Kind>() == kind && magic && version && ok_;
  }
  template <typename T>
  T Number() {
    T value{};
    if (in_.size() < sizeof(value)) {
      ok_ = false;
      return value;
    }
    std::memcpy(&value, in_.data(), sizeof(value));
    in_.remove_prefix(sizeof(value));
    return value;
  }
  // All that is left, at most `bytes_max`.
  std::string_view Rest(size_t bytes_max) {
    ok_ = ok_ && in_.size() <= bytes_max;
    return std::exchange(in_, {});
  }
  bool Done() const { return ok_ && in_.empty(); }

 private:
  std::string_view in_;
  bool ok_ = true;
};

absl::Status Malformed(std::string_view what, std::string_view bytes) {
  return absl::InvalidArgumentError(
      fmt::format("shm: {} bytes are not a {}", bytes.size(), what));
}

// A code from the wire; kUnknown for numbers that are none.
absl::StatusCode ToCode(uint32_t number) {
  return number <= 16 ? static_cast<absl::StatusCode>(number)
                      : absl::StatusCode::kUnknown;
}

}  // namespace

ShmNonce RandomShmNonce() {
  ShmNonce nonce;
  SecureRandom(nonce);
  return nonce;
}

std::string ReadBootId() {
  std::string boot_id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot_id;
  return boot_id;
}

std::string EncodeShm(const ShmHello& hello) {
  Writer out(Kind::kHello);
  out.Text(hello.boot_id);
  return std::move(out).Take();
}

std::string EncodeShm(const ShmOffer& offer) {
  Writer out(Kind::kOffer);
  out.Number(offer.nonce);
  out.Text(offer.socket_path);
  return std::move(out).Take();
}

std::string EncodeShm(const ShmGreet& greet) {
  Writer out(Kind::kGreet);
  out.Number(greet.nonce);
  return std::move(out).Take();
}

std::string EncodeShm(const ShmWelcome& welcome) {
  Writer out(Kind::kWelcome);
  out.Number(welcome.server);
  out.Number(welcome.ring_bytes);
  out.Number(static_cast<uint32_t>(welcome.regions.size()));
  for (const ShmWelcome::RegionEntry& region : welcome.regions) {
    out.Number(region.id);
    out.Number(region.size_bytes);
  }
  return std::move(out).Take();
}

std::string EncodeShm(const ShmRefuse& refuse) {
  Writer out(Kind::kRefuse);
  out.Number(static_cast<uint32_t>(refuse.code));
  out.Text(std::string_view(refuse.reason).substr(0, kReasonBytesMax));
  return std::move(out).Take();
}

std::string EncodeShm(const ShmPut& put) {
  Writer out(Kind::kPut);
  out.Number(put.sequence);
  out.Number(put.block_bytes);
  out.Number(put.block_offset_bytes);
  out.Number(put.ring_offset_bytes);
  out.Number(put.length_bytes);
  out.Text(put.sealed);
  return std::move(out).Take();
}

std::string EncodeShm(const ShmAck& ack) {
  Writer out(Kind::kAck);
  out.Number(ack.sequence);
  out.Number(static_cast<uint32_t>(ack.code));
  return std::move(out).Take();
}

absl::StatusOr<ShmHello> DecodeShmHello(std::string_view bytes) {
  Reader in(Kind::kHello, bytes);
  ShmHello hello{.boot_id = std::string(in.Rest(kBootIdBytesMax))};
  if (!in.Done() || hello.boot_id.empty()) return Malformed("hello", bytes);
  return hello;
}

absl::StatusOr<ShmOffer> DecodeShmOffer(std::string_view bytes) {
  Reader in(Kind::kOffer, bytes);
  ShmOffer offer;
  offer.nonce = in.Number<ShmNonce>();
  offer.socket_path = std::string(in.Rest(kMaxEndpointBytes));
  if (!in.Done() || offer.socket_path.empty()) return Malformed("offer", bytes);
  return offer;
}

absl::StatusOr<ShmGreet> DecodeShmGreet(std::string_view bytes) {
  Reader in(Kind::kGreet, bytes);
  const ShmGreet greet{.nonce = in.Number<ShmNonce>()};
  if (!in.Done()) return Malformed("greet", bytes);
  return greet;
}

absl::StatusOr<ShmWelcome> DecodeShmWelcome(std::string_view bytes) {
  Reader no(Kind::kRefuse, bytes);
  const absl::StatusCode code = ToCode(no.Number<uint32_t>());
  const std::string_view reason = no.Rest(kReasonBytesMax);
  if (no.Done() && code != absl::StatusCode::kOk)
    return absl::Status(code, ToAbsl(reason));

  Reader in(Kind::kWelcome, bytes);
  ShmWelcome welcome;
  welcome.server = in.Number<ShmNonce>();
  welcome.ring_bytes = in.Number<uint64_t>();
  const uint32_t regions = in.Number<uint32_t>();
  if (regions > kShmRegionsMax) return Malformed("welcome", bytes);
  for (uint32_t i = 0; i < regions; ++i) {
    const RegionId id = in.Number<RegionId>();
    welcome.regions.push_back({.id = id, .size_bytes = in.Number<uint64_t>()});
  }
  if (!in.Done()) return Malformed("welcome", bytes);
  return welcome;
}

absl::StatusOr<ShmPut> DecodeShmPut(std::string_view bytes) {
  Reader in(Kind::kPut, bytes);
  ShmPut put;
  put.sequence = in.Number<uint64_t>();
  put.block_bytes = in.Number<uint64_t>();
  put.block_offset_bytes = in.Number<uint64_t>();
  put.ring_offset_bytes = in.Number<uint64_t>();
  put.length_bytes = in.Number<uint32_t>();
  put.sealed = in.Rest(kShmSealedBytesMax);
  if (!in.Done()) return Malformed("put", bytes);
  return put;
}

absl::StatusOr<ShmAck> DecodeShmAck(std::string_view bytes) {
  Reader in(Kind::kAck, bytes);
  ShmAck ack;
  ack.sequence = in.Number<uint64_t>();
  ack.code = ToCode(in.Number<uint32_t>());
  if (!in.Done()) return Malformed("ack", bytes);
  return ack;
}

}  // namespace kvasir
