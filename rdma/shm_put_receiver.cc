#include "rdma/shm_put_receiver.h"

#include <fmt/core.h>

#include <utility>

#include "base/limits.h"

namespace kvasir {

ShmPutReceiver::ShmPutReceiver(const Options& options, ShmMapping ring)
    : options_(options), ring_(std::move(ring)) {}

absl::StatusOr<std::span<const std::byte>> ShmPutReceiver::PieceOf(
    const ShmPut& put) const {
  const std::span<const std::byte> ring = ring_.bytes();
  if (put.length_bytes == 0 || put.length_bytes > kShmPieceBytesMax ||
      put.length_bytes > ring.size() ||
      put.ring_offset_bytes > ring.size() - put.length_bytes ||
      put.block_offset_bytes > kMaxBlockBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "shm put: {} bytes at ring offset {} to block offset {}, with a ring of {}",
        put.length_bytes, put.ring_offset_bytes, put.block_offset_bytes, ring.size()));
  }
  return ring.subspan(put.ring_offset_bytes, put.length_bytes);
}

absl::Status ShmPutReceiver::Receive(const ShmPut& put) {
  const absl::StatusOr<std::span<const std::byte>> from = PieceOf(put);
  if (!from.ok()) return from.status();
  absl::Status copied = Copy(put, *from);
  if (!copied.ok()) filling_ = {};
  return copied;
}

absl::Status ShmPutReceiver::Copy(const ShmPut& put, std::span<const std::byte> from) {
  // Believed only where Admit has accepted the very same token.
  const absl::StatusOr<TokenClaims> claims = ReadClaims(put.sealed);
  if (!claims.ok()) return claims.status();
  // Before the first piece is copied, not after the last but one.
  if (claims->extent.size_bytes != put.block_bytes) {
    return absl::PermissionDeniedError("shm put: not the size of the token's block");
  }
  if (put.block_offset_bytes == 0) {
    filling_ = {.lease = claims->lease};
    checksummer_.Reset(options_.gate->ChecksumSeedOf(claims->lease));
  } else if (filling_.lease != claims->lease ||
             filling_.done_bytes != put.block_offset_bytes) {
    return absl::PermissionDeniedError(
        fmt::format("shm put: piece at {} out of order, {} is due",
                    put.block_offset_bytes, filling_.done_bytes));
  }
  absl::Status admitted = options_.gate->Admit(
      options_.session, options_.lane, put.sealed, Access::kWrite, put.block_offset_bytes,
      put.length_bytes, [&](std::span<std::byte> to) {
        if (to.size() != from.size()) return absl::InternalError("shm put: odd extent");
        CopyAndUpdate(to, from, &checksummer_);
        return absl::OkStatus();
      });
  if (!admitted.ok()) return admitted;
  filling_.done_bytes += from.size();
  if (filling_.done_bytes == claims->extent.size_bytes) {
    options_.gate->SetObservedChecksum(claims->lease, checksummer_.Finish());
    filling_ = {};
    ++blocks_total_;
  }
  return absl::OkStatus();
}

}  // namespace kvasir
