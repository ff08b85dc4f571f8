#include "rdma/token.h"

#include <openssl/crypto.h>

#include <array>
#include <cstring>
#include <span>

#include "base/bytes.h"
#include "base/check.h"
#include "base/random.h"
#include "rdma/hmac.h"
#include "rdma/little_endian.h"

namespace kvasir {
namespace {

// A sealed token, little-endian: magic 4, epoch 8, lease 8, session 8 + 8, lane 8,
// access 1, region 4, offset 8, size 8, generation 8, expiry 8 (ns of the server's
// clock); then the MAC of all that.
constexpr uint32_t kTokenMagic = 0x3154564b;  // "KVT1"
constexpr size_t kMacBytes = 16;
constexpr size_t kClaimsBytes = kSealedTokenBytes - kMacBytes;
constexpr size_t kKeyBytes = 32;

class Writer {
 public:
  explicit Writer(std::byte* to) : to_(to) {}
  template <typename T>
  void Put(T value) {
    StoreLittleEndian(to_, value);
    to_ += sizeof(T);
  }
  const std::byte* position() const { return to_; }

 private:
  std::byte* to_;
};

class Reader {
 public:
  explicit Reader(const std::byte* from) : from_(from) {}
  template <typename T>
  T Get() {
    const T value = LoadLittleEndian<T>(from_);
    from_ += sizeof(T);
    return value;
  }

 private:
  const std::byte* from_;
};

void WriteClaims(const TokenClaims& claims, Epoch epoch, std::byte* to) {
  Writer out(to);
  out.Put(kTokenMagic);
  out.Put(static_cast<uint64_t>(epoch));
  out.Put(static_cast<uint64_t>(claims.lease));
  out.Put(claims.session.high);
  out.Put(claims.session.low);
  out.Put(static_cast<uint64_t>(claims.lane));
  out.Put(static_cast<uint8_t>(claims.access));
  out.Put(static_cast<uint32_t>(claims.extent.region));
  out.Put(claims.extent.offset_bytes);
  out.Put(claims.extent.size_bytes);
  out.Put(claims.generation);
  out.Put(static_cast<uint64_t>(claims.expiry.time_since_epoch().count()));
  KV_CHECK(out.position() == to + kClaimsBytes);
}

absl::Status Refused() { return absl::PermissionDeniedError("open token: not valid here"); }

struct Parsed {
  Epoch epoch{};
  TokenClaims claims;
};

absl::StatusOr<Parsed> Parse(std::string_view sealed) {
  if (sealed.size() != kSealedTokenBytes) return Refused();
  Reader in(AsBytes(sealed).data());
  if (in.Get<uint32_t>() != kTokenMagic) return Refused();
  Parsed parsed;
  parsed.epoch = Epoch{in.Get<uint64_t>()};
  parsed.claims.lease = LeaseId{in.Get<uint64_t>()};
  parsed.claims.session.high = in.Get<uint64_t>();
  parsed.claims.session.low = in.Get<uint64_t>();
  parsed.claims.lane = LaneId{in.Get<uint64_t>()};
  const uint8_t access = in.Get<uint8_t>();
  if (access > static_cast<uint8_t>(Access::kWrite)) return Refused();
  parsed.claims.access = Access{access};
  parsed.claims.extent.region = RegionId{in.Get<uint32_t>()};
  parsed.claims.extent.offset_bytes = in.Get<uint64_t>();
  parsed.claims.extent.size_bytes = in.Get<uint64_t>();
  parsed.claims.generation = in.Get<uint64_t>();
  parsed.claims.expiry =
      Instant(BootClock::duration(static_cast<int64_t>(in.Get<uint64_t>())));
  return parsed;
}

HmacSha256 FreshMac() {
  std::array<std::byte, kKeyBytes> key;
  SecureRandom(key);
  struct Wipe {
    std::array<std::byte, kKeyBytes>& key;
    ~Wipe() { OPENSSL_cleanse(key.data(), key.size()); }
  } wipe{key};
  return HmacSha256(key);
}

}  // namespace

struct TokenSealer::Key {
  const HmacSha256 mac = FreshMac();
};

TokenSealer::TokenSealer(Epoch epoch) : epoch_(epoch), key_(std::make_unique<Key>()) {}
TokenSealer::~TokenSealer() = default;

std::string TokenSealer::Seal(const TokenClaims& claims) const {
  std::string sealed(kSealedTokenBytes, '\0');
  auto* const bytes = reinterpret_cast<std::byte*>(sealed.data());
  WriteClaims(claims, epoch_, bytes);
  const auto mac = key_->mac.Sign({bytes, kClaimsBytes});
  std::memcpy(bytes + kClaimsBytes, mac.data(), kMacBytes);
  return sealed;
}

absl::StatusOr<TokenClaims> TokenSealer::Open(std::string_view sealed) const {
  if (sealed.size() != kSealedTokenBytes) return Refused();
  const std::span<const std::byte> bytes = AsBytes(sealed);
  const auto mac = key_->mac.Sign(bytes.first(kClaimsBytes));
  // Constant time: the place of the first wrong byte must not show in the answer.
  if (CRYPTO_memcmp(mac.data(), bytes.data() + kClaimsBytes, kMacBytes) != 0) {
    return Refused();
  }
  absl::StatusOr<Parsed> parsed = Parse(sealed);
  if (!parsed.ok()) return parsed.status();
  if (parsed->epoch != epoch_) return Refused();
  return parsed->claims;
}

absl::StatusOr<TokenClaims> ReadClaims(std::string_view sealed) {
  absl::StatusOr<Parsed> parsed = Parse(sealed);
  if (!parsed.ok()) return parsed.status();
  return parsed->claims;
}

}  // namespace kvasir
