#include "rdma/token.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace kvasir {
namespace {

constexpr Epoch kEpoch{0x1122334455667788};

TokenClaims SomeClaims() {
  return {.lease = LeaseId{7},
          .session = {.high = 0xaaaa, .low = 0xbbbb},
          .lane = LaneId{3},
          .access = Access::kWrite,
          .extent = {.region = RegionId{2}, .offset_bytes = 1 << 20, .size_bytes = 4096},
          .generation = 12,
          .expiry = Instant(BootClock::duration(5'000'000'000))};
}

void ExpectSame(const TokenClaims& a, const TokenClaims& b) {
  EXPECT_EQ(a.lease, b.lease);
  EXPECT_EQ(a.session, b.session);
  EXPECT_EQ(a.lane, b.lane);
  EXPECT_EQ(a.access, b.access);
  EXPECT_EQ(a.extent, b.extent);
  EXPECT_EQ(a.generation, b.generation);
  EXPECT_EQ(a.expiry, b.expiry);
}

TokenClaims RandomClaims(std::mt19937_64& random) {
  TokenClaims claims = SomeClaims();
  claims.lease = LeaseId{random()};
  claims.session = {.high = random(), .low = random()};
  claims.lane = LaneId{random() % 8};
  claims.access = random() % 2 == 0 ? Access::kRead : Access::kWrite;
  claims.extent.offset_bytes = random() % (1 << 30);
  claims.extent.size_bytes = 1 + random() % (1 << 20);
  claims.generation = random() % 1000;
  return claims;
}

TEST(TokenSealer, OpensWhatItSealed) {
  const TokenSealer sealer(kEpoch);
  const std::string sealed = sealer.Seal(SomeClaims());
  EXPECT_EQ(sealed.size(), kSealedTokenBytes);
  const absl::StatusOr<TokenClaims> opened = sealer.Open(sealed);
  ASSERT_TRUE(opened.ok()) << opened.status();
  ExpectSame(*opened, SomeClaims());
}

TEST(TokenSealer, RefusesAnotherSealersTokenEvenOfTheSameEpoch) {
  const TokenSealer sealer(kEpoch);
  const TokenSealer other(kEpoch);
  EXPECT_EQ(sealer.Open(other.Seal(SomeClaims())).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST(TokenSealer, RefusesWithoutSayingWhy) {
  const TokenSealer sealer(kEpoch);
  std::string wrong_mac = sealer.Seal(SomeClaims());
  wrong_mac.back() = static_cast<char>(wrong_mac.back() ^ 1);
  EXPECT_EQ(sealer.Open("").status(), sealer.Open(wrong_mac).status());
}

TEST(ReadClaims, ReadsWithoutTheKey) {
  const absl::StatusOr<TokenClaims> read = ReadClaims(TokenSealer(kEpoch).Seal(SomeClaims()));
  ASSERT_TRUE(read.ok());
  ExpectSame(*read, SomeClaims());
}

TEST(ReadClaims, RefusesWhatIsNoToken) {
  std::string bad_access = TokenSealer(kEpoch).Seal(SomeClaims());
  bad_access[44] = 2;
  for (const std::string& text :
       {std::string(), std::string(kSealedTokenBytes, 'x'), bad_access}) {
    EXPECT_EQ(ReadClaims(text).status().code(), absl::StatusCode::kPermissionDenied);
  }
}

// One change of a valid token: bits, fields of another valid token, length, order.
std::string Mutate(const std::string& token, const std::string& other,
                   std::mt19937_64& random) {
  // Where each field of a token starts, and where the last one ends.
  static constexpr size_t kFields[] = {0, 4, 12, 20, 28, 36, 44, 45, 49, 57, 65, 73, 81, 97};
  std::string out = token;
  switch (random() % 6) {
    case 0:
      for (uint64_t n = 1 + random() % 4; n > 0; --n) {
        out[random() % out.size()] ^= static_cast<char>(1 << random() % 8);
      }
      return out;
    case 1: {
      const size_t field = random() % (std::size(kFields) - 1);
      const size_t length = kFields[field + 1] - kFields[field];
      return out.replace(kFields[field], length, other, kFields[field], length);
    }
    case 2: return out.substr(0, random() % out.size());
    case 3: return out + std::string(1 + random() % 8, static_cast<char>(random()));
    case 4: std::swap(out[random() % out.size()], out[random() % out.size()]); return out;
    default: return TokenSealer(kEpoch).Seal(SomeClaims());
  }
}

TEST(TokenSealer, AcceptsNoneOfAHundredThousandMutations) {
  constexpr uint64_t kSeed = 20240607;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  const TokenSealer sealer(kEpoch);
  std::vector<std::string> valid;
  for (int i = 0; i < 64; ++i) valid.push_back(sealer.Seal(RandomClaims(random)));
  int tried = 0;
  while (tried < 100'000) {
    const std::string& token = valid[random() % valid.size()];
    const std::string mutant = Mutate(token, valid[random() % valid.size()], random);
    // A swap of equal bytes changes nothing: not a mutation.
    if (std::find(valid.begin(), valid.end(), mutant) != valid.end()) continue;
    ++tried;
    ASSERT_EQ(sealer.Open(mutant).status().code(), absl::StatusCode::kPermissionDenied)
        << "mutation " << tried;
  }
}

}  // namespace
}  // namespace kvasir
