#include "rdma/verbs_plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"

namespace kvasir {

void VerbsPlan::Clear() {
  moves_.clear();
  pieces_.clear();
  next_move_ = next_hash_ = unsettled_ = 0;
  peeked_ = false;
}

absl::Status VerbsPlan::Add(Transfer* transfer, const std::vector<VerbsRegion>& regions) {
  const Extent& extent = transfer->token.extent;
  if (transfer->token.pushed) {
    return absl::InvalidArgumentError("move: rdma pushes nothing");
  }
  const uint64_t local_bytes = ScatterBytes(transfer->local);
  if (extent.size_bytes == 0 || extent.size_bytes > kMaxBlockBytes ||
      local_bytes != extent.size_bytes) {
    return absl::InvalidArgumentError(fmt::format("move: slices of {} bytes for a block of {}",
                                                  local_bytes, extent.size_bytes));
  }
  if (extent.offset_bytes > UINT64_MAX - extent.size_bytes) {
    return absl::PermissionDeniedError("move: this extent is none");
  }
  for (const uint64_t at : {extent.offset_bytes, extent.offset_bytes + extent.size_bytes - 1}) {
    const absl::StatusOr<VerbsPlace> place = FindVerbsPlace(regions, extent.region, at);
    if (!place.ok()) return place.status();
  }
  moves_.push_back({.transfer = transfer,
                    .regions = &regions,
                    .to_cut = ScatterCursor(transfer->local),
                    .to_hash = ScatterCursor(transfer->local)});
  return absl::OkStatus();
}

const VerbsPlan::Piece* VerbsPlan::Peek() {
  if (peeked_) return &piece_;
  if (next_move_ == moves_.size()) return nullptr;
  Cut(&moves_[next_move_]);
  peeked_ = true;
  return &piece_;
}

void VerbsPlan::Cut(Move* move) {
  const Extent& extent = move->transfer->token.extent;
  const absl::StatusOr<VerbsPlace> place =
      FindVerbsPlace(*move->regions, extent.region, extent.offset_bytes + move->cut_bytes);
  KV_CHECK(place.ok());  // Add has looked.
  piece_.place = *place;
  const uint64_t bytes_max = std::min(options_.piece_bytes_max, place->bytes_in_chunk);
  piece_.slices = move->to_cut.Gather(std::span(piece_.local).first(options_.slices_max),
                                      bytes_max, &piece_.bytes);
}

size_t VerbsPlan::Take() {
  KV_CHECK(peeked_);
  peeked_ = false;
  Move& move = moves_[next_move_];
  pieces_.push_back({.move = next_move_, .bytes = piece_.bytes});
  ++unsettled_;
  move.to_cut.Advance(piece_.bytes);
  move.cut_bytes += piece_.bytes;
  if (move.cut_bytes == move.size_bytes()) ++next_move_;
  return pieces_.size() - 1;
}

void VerbsPlan::Settle(size_t piece) {
  Taken& taken = pieces_[piece];
  KV_CHECK(!taken.settled);
  taken.settled = true;
  moves_[taken.move].settled_bytes += taken.bytes;
  --unsettled_;
}

void VerbsPlan::Blame(size_t piece, const absl::Status& status) {
  moves_[pieces_[piece].move].blamed = status;
}

bool VerbsPlan::HashNext() {
  if (next_hash_ == pieces_.size()) return false;
  const Taken& taken = pieces_[next_hash_];
  Move& move = moves_[taken.move];
  const bool reads = move.transfer->token.access == Access::kRead;
  if (reads && !taken.settled) return false;
  Hash(&move, taken.bytes);
  ++next_hash_;
  return true;
}

void VerbsPlan::Hash(Move* move, uint64_t bytes) {
  Transfer& transfer = *move->transfer;
  if (transfer.want_checksum && move->hashed_bytes == 0) {
    checksummer_.Reset(transfer.checksum_seed);
  }
  move->hashed_bytes += bytes;
  if (!transfer.want_checksum) return;
  while (bytes > 0) {
    std::array<iovec, kVerbsSlicesMax> slices;
    uint64_t gathered = 0;
    const size_t used = move->to_hash.Gather(slices, bytes, &gathered);
    for (size_t i = 0; i < used; ++i) {
      checksummer_.Update({static_cast<const std::byte*>(slices[i].iov_base),
                           slices[i].iov_len});
    }
    move->to_hash.Advance(gathered);
    bytes -= gathered;
  }
  if (move->hashed_bytes == move->size_bytes()) transfer.checksum = checksummer_.Finish();
}

bool VerbsPlan::Finished() const {
  return next_move_ == moves_.size() && unsettled_ == 0 && next_hash_ == pieces_.size();
}

void VerbsPlan::Report(const absl::Status& otherwise) {
  for (Move& move : moves_) {
    move.transfer->status = move.has_arrived() ? absl::OkStatus()
                            : move.blamed.ok() ? otherwise
                                               : move.blamed;
  }
}

}  // namespace kvasir
