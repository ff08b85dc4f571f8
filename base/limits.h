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

// Sessions and lanes.
inline constexpr size_t kMaxSessions = 1'000;
inline constexpr size_t kMaxLanesPerSession = 128;
inline constexpr std::chrono::milliseconds kHeartbeatInterval{1'000};
inline constexpr std::chrono::milliseconds kSessionSilence{3'000};
inline constexpr size_t kMaxRememberedOps = 256;  // put op_ids a session, for retries
inline constexpr size_t kMaxRememberedPuts = 16'384;  // ... and keys of all of them
// A fence that takes longer than this raises FENCE_STUCK. Its memory stays quarantined.
inline constexpr std::chrono::milliseconds kFenceStuckAfter{10'000};

// Background steps.
inline constexpr std::chrono::milliseconds kReaperInterval{50};
inline constexpr std::chrono::milliseconds kEvictorInterval{20};

}  // namespace kvasir

#endif  // KVASIR_BASE_LIMITS_H_
