#ifndef KVASIR_BASE_LIMITS_H_
#define KVASIR_BASE_LIMITS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>

// Every bound of the system, in one place, with its unit. A queue, batch, retry
// or wait that is not bounded by a number from here is a defect.
namespace kvasir {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

// Keys and blocks.
inline constexpr size_t kMaxKeyBytes = 1024;
inline constexpr size_t kMaxAttributesBytes = 256;
inline constexpr uint64_t kMaxBlockBytes = 256 * kMiB;

// Batches and messages on the control plane.
inline constexpr size_t kMaxKeysPerCall = 1024;
inline constexpr size_t kMaxMessageBytes = 4 * kMiB;
inline constexpr size_t kMaxOwnerBytes = 256;      // name of a pin's owner
inline constexpr size_t kMaxClientNameBytes = 256;
inline constexpr size_t kMaxReleasesPerCall = 4096;
inline constexpr size_t kMaxListPageSize = 1000;   // keys a List page
inline constexpr size_t kMaxEndpointBytes = 1024;  // a transport's hello or offer
inline constexpr size_t kMaxSocketPathBytes = 107;  // of a unix socket, see unix(7)

// Leases. Durations only travel on the wire, never instants.
inline constexpr std::chrono::milliseconds kDefaultLeaseTtl{5'000};
inline constexpr std::chrono::milliseconds kMaxLeaseTtl{30'000};
inline constexpr std::chrono::milliseconds kMinLeaseTtl{100};
inline constexpr std::chrono::hours kMaxPinTtl{24};
// The client trusts a lease for its TTL minus 0.1 % (two clocks' drift) and 50 ms,
// counted from before the request; the server keeps it 50 ms longer than granted.
inline constexpr int kLeaseDriftPerMille = 1;
inline constexpr std::chrono::milliseconds kLeaseMargin{50};
inline constexpr std::chrono::milliseconds kLeaseGrace{50};
inline constexpr size_t kMaxLeasesPerSession = 16'384;
inline constexpr size_t kMaxPins = 1'000'000;

// Lanes that one batch may use at a time, and bytes for each below which a part is not
// worth the waking of a thread (client/stripes.h).
inline constexpr size_t kStripesMax = 2;
inline constexpr uint64_t kStripeBytesMin = 2 * kMiB;

// Sessions and lanes.
inline constexpr size_t kMaxSessions = 1'000;
inline constexpr size_t kMaxLanesPerSession = 128;
inline constexpr std::chrono::milliseconds kHeartbeatInterval{1'000};
inline constexpr std::chrono::milliseconds kSessionSilence{3'000};
inline constexpr size_t kMaxRememberedOps = 256;  // put op_ids a session, for retries
inline constexpr size_t kMaxRememberedPuts = 16'384;  // ... and keys of all of them
// A fence that takes longer than this raises FENCE_STUCK. Its memory stays quarantined.
inline constexpr std::chrono::milliseconds kFenceStuckAfter{10'000};

// The disk tier. A segment is one file of the database: what is written, and dropped, at
// once. The larger the budget, the larger the segments, so that files stay few.
inline constexpr uint64_t kMinTierSegmentBytes = 1 * kMiB;
inline constexpr uint64_t kMaxTierSegmentBytes = 256 * kMiB;
inline constexpr uint64_t kTierSegmentsPerBudget = 1024;
inline constexpr uint64_t kMinTierBudgetBytes = 8 * kMiB;
inline constexpr size_t kTierListingChunkBytes = 256 * kKiB;
// At least a block of the database, so that a chunk never shares one with payload.
inline constexpr size_t kTierListingChunkBytesMin = 4 * kKiB;
// Files below an eighth of a segment are merged, this many of like size at a time.
inline constexpr uint64_t kTierSmallSegmentDivisor = 8;
inline constexpr size_t kTierMergeWidth = 8;
// A segment of which less than a quarter is live is rewritten.
inline constexpr uint64_t kTierSparseDivisor = 4;
// Of what is dropped for the budget, at most a half is carried over because of its use.
inline constexpr uint64_t kTierCarryDivisor = 2;
// Removals that a tier remembers against Stores that come late: in memory so many, on
// disk for so many segments after the last that could hold what was removed.
inline constexpr size_t kMaxTierTombstones = 262'144;
inline constexpr uint64_t kTierTombstoneLingerSegments = 256;
// Segments that one Store writes side by side. Each has at least a quarter of what a
// segment should have, so that they need not be merged.
inline constexpr size_t kMaxTierWriters = 4;
inline constexpr size_t kMaxTierReaders = 64;         // threads that one Load keeps busy
// Each thread that reads or writes the disk does it through such a buffer, a huge page.
inline constexpr size_t kTierBufferBytes = 2 * kMiB;
inline constexpr size_t kTierBuffersKept = 32;  // that nobody uses
inline constexpr size_t kMaxTierQueuedStores = 1024;  // callers that wait to write
inline constexpr int kMaxTierLoadRetries = 8;     // while blocks move under a reader
inline constexpr int kMaxTierSetAside = 4;  // unreadable databases that are kept

// Background steps.
inline constexpr std::chrono::milliseconds kReaperInterval{50};
inline constexpr std::chrono::milliseconds kEvictorInterval{20};

// The tier below memory. What is on the way to it or from it holds memory: of each of
// the three queues at most so many blocks and bytes, and a part of the arena.
inline constexpr size_t kTierQueueBlocksMax = 4'096;
inline constexpr uint64_t kTierQueueBytesMax = 512 * kMiB;
inline constexpr uint64_t kTierQueueArenaPart = 8;  // an eighth
inline constexpr size_t kDemotionScanBlocks = 1'024;  // looked at in one step
inline constexpr size_t kTierBatchBlocks = 1'024;   // a call to the tier
inline constexpr uint64_t kTierBatchBytes = 64 * kMiB;
// A promoted block is held so long for whoever asked for it to come back; else a full
// memory may evict it first.
inline constexpr std::chrono::milliseconds kPromotionHold{250};
inline constexpr size_t kMaxErasures = 16'384;  // deletions that wait for the tier
inline constexpr size_t kMaxSettled = 65'536;   // results of durable puts kept
inline constexpr size_t kMaxWaitersPerKey = 1'024;  // of a promotion
inline constexpr size_t kMaxWaits = 4'096;  // answers put off until something settles
inline constexpr std::chrono::milliseconds kMaxSettleWait{1'000};  // each of them
inline constexpr std::chrono::milliseconds kTierSlowAfter{2'000};  // one call
inline constexpr std::chrono::milliseconds kTierCalmAfter{10'000};  // without a slow one
inline constexpr size_t kTierLoadFailuresMax = 3;  // in a row, then no more loads
inline constexpr std::chrono::milliseconds kTierProbeInterval{5'000};  // of one that fails
inline constexpr std::chrono::milliseconds kTierWarningInterval{10'000};  // in the log
inline constexpr size_t kTierProbeBytes = 64 * kKiB;

}  // namespace kvasir

#endif  // KVASIR_BASE_LIMITS_H_
