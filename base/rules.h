#ifndef KVASIR_BASE_RULES_H_
#define KVASIR_BASE_RULES_H_

// The safety rules of docs/leases.md, each read with a plain `if (rules::kFence)` at the
// one place that enforces it. They are constants, always on. The simulation's mutation
// check, and nothing else, compiles those sources with KVASIR_MUTABLE_RULES and defines
// the variables itself, to show that it finds the damage when a rule is off.
namespace kvasir::rules {

#ifdef KVASIR_MUTABLE_RULES
extern bool kFence;
extern bool kS1;
extern bool kS2;
extern bool kChecksum;
extern bool kDeadline;
extern bool kSettled;
extern bool kHidden;
extern bool kRechecked;
extern bool kCurrent;
extern bool kAsDurable;
#else
// Memory that somebody may still write is reused only after the fence (reaper).
inline constexpr bool kFence = true;
// Every call names a session that is live now (session table).
inline constexpr bool kS1 = true;
// A token works only on the lane it was granted on (lease table).
inline constexpr bool kS2 = true;
// Bytes count only if they match their checksum (commit; client on every read).
inline constexpr bool kChecksum = true;
// A read counts only if it completed before the lease's deadline (client).
inline constexpr bool kDeadline = true;
// A put is acknowledged only once it is settled below memory (commit).
inline constexpr bool kSettled = true;
// What was replaced or removed is hidden before the tier has deleted it (tier mask).
inline constexpr bool kHidden = true;
// A copy from the tier is published only if the tier still has it (index).
inline constexpr bool kRechecked = true;
// A block is stored in the tier only while it is its key's block (tier writer).
inline constexpr bool kCurrent = true;
// A durable put hears of a block that is there only once that is as durable (tiered store).
inline constexpr bool kAsDurable = true;
#endif

}  // namespace kvasir::rules

#endif  // KVASIR_BASE_RULES_H_
