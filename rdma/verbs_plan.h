#ifndef KVASIR_RDMA_VERBS_PLAN_H_
#define KVASIR_RDMA_VERBS_PLAN_H_

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/checksum.h"
#include "rdma/scatter.h"
#include "rdma/transport.h"
#include "rdma/verbs_wire.h"

namespace kvasir {

inline constexpr size_t kVerbsSlicesMax = 16;  // local slices of one work request

// One batch, cut into requests that a NIC can take, and what has become of each. Pieces
// come and are hashed in the order of the batch, so that reads are hashed while later
// ones are still arriving, and writes while they are being sent.
//
// Holds nothing of the batch after Clear. Not thread-safe.
class VerbsPlan {
 public:
  struct Options {
    uint64_t piece_bytes_max = 1024 * 1024;
    size_t slices_max = kVerbsSlicesMax;  // at most kVerbsSlicesMax
  };
  // What of one block goes in one request.
  struct Piece {
    uint64_t bytes = 0;
    VerbsPlace place;  // its first byte in the server's memory
    size_t slices = 0;
    std::array<iovec, kVerbsSlicesMax> local{};  // [slices]
  };

  explicit VerbsPlan(const Options& options) : options_(options) {}

  // Forgets the batch before.
  void Clear();
  // Adds a transfer, which must stay where it is until Clear. `regions` too.
  // InvalidArgument if its slices do not add up to its size; PermissionDenied if its
  // extent was not offered. It is not added then.
  absl::Status Add(Transfer* transfer, const std::vector<VerbsRegion>& regions);

  // The piece to post next; null when all have been taken.
  const Piece* Peek();
  // It is being posted. Returns its number. REQUIRES: Peek() was not null.
  size_t Take();
  // Which way the piece of Peek moves. REQUIRES: Peek() was not null.
  Access next_access() const { return moves_[next_move_].transfer->token.access; }
  // A posted piece has completed.
  void Settle(size_t piece);
  // A posted piece has failed, with what its transfer is to report.
  void Blame(size_t piece, const absl::Status& status);
  // Hashes one more piece, if there is one to hash: of a read after it has settled, of a
  // write once it was taken. False if there was nothing to do.
  bool HashNext();

  // Every piece has been taken, has settled and is hashed.
  bool Finished() const;
  // Sets the status of every transfer: what it was blamed for; OK if it is a read that
  // has settled and is hashed; else `otherwise`, which is OK only if writes are visible.
  void Report(const absl::Status& otherwise);

 private:
  struct Move {
    Transfer* transfer = nullptr;
    const std::vector<VerbsRegion>* regions = nullptr;
    ScatterCursor to_cut;
    ScatterCursor to_hash;
    uint64_t cut_bytes = 0;
    uint64_t settled_bytes = 0;
    uint64_t hashed_bytes = 0;
    absl::Status blamed;

    uint64_t size_bytes() const { return transfer->token.extent.size_bytes; }
    bool has_arrived() const {
      return transfer->token.access == Access::kRead && settled_bytes == size_bytes() &&
             hashed_bytes == size_bytes();
    }
  };
  struct Taken {
    size_t move = 0;
    uint64_t bytes = 0;
    bool settled = false;
  };
  void Cut(Move* move);
  void Hash(Move* move, uint64_t bytes);

  const Options options_;
  std::vector<Move> moves_;
  std::vector<Taken> pieces_;
  size_t next_move_ = 0;   // the one being cut
  size_t next_hash_ = 0;   // the piece to be hashed next
  size_t unsettled_ = 0;   // pieces
  bool peeked_ = false;
  Piece piece_;
  Checksummer checksummer_;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_VERBS_PLAN_H_
