#include "rdma/hmac.h"

// The EVP forms allocate at every call, which doubles the cost of a token.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/check.h"

namespace kvasir {
namespace {

constexpr size_t kHashBlockBytes = 64;

SHA256_CTX StateAfter(std::span<const std::byte> key, std::byte pad) {
  std::array<std::byte, kHashBlockBytes> block;
  block.fill(pad);
  for (size_t i = 0; i < key.size(); ++i) block[i] ^= key[i];
  SHA256_CTX state;
  SHA256_Init(&state);
  SHA256_Update(&state, block.data(), block.size());
  OPENSSL_cleanse(block.data(), block.size());
  return state;
}

}  // namespace

struct HmacSha256::States {
  SHA256_CTX inner;
  SHA256_CTX outer;
};

HmacSha256::HmacSha256(std::span<const std::byte> key) : states_(std::make_unique<States>()) {
  KV_CHECK(key.size() <= kHashBlockBytes);
  states_->inner = StateAfter(key, std::byte{0x36});
  states_->outer = StateAfter(key, std::byte{0x5c});
}

HmacSha256::~HmacSha256() { OPENSSL_cleanse(states_.get(), sizeof(States)); }

std::array<std::byte, HmacSha256::kBytes> HmacSha256::Sign(
    std::span<const std::byte> message) const {
  std::array<std::byte, kBytes> digest;
  auto* const out = reinterpret_cast<unsigned char*>(digest.data());
  SHA256_CTX state = states_->inner;
  SHA256_Update(&state, message.data(), message.size());
  SHA256_Final(out, &state);
  state = states_->outer;
  SHA256_Update(&state, digest.data(), digest.size());
  SHA256_Final(out, &state);
  return digest;
}

}  // namespace kvasir
