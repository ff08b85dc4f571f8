#ifndef KVASIR_CLIENT_CLI_REPLAY_TRACE_H_
#define KVASIR_CLIENT_CLI_REPLAY_TRACE_H_

#include <cstddef>
#include <cstdint>
#include <istream>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "absl/status/statusor.h"

// Prefix-cache traces: one JSON object a line,
//
//   {"timestamp": 27482, "input_length": 6955, "output_length": 52,
//    "hash_ids": [46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 2353, 2354]}
//
// where each id stands for a block of 512 tokens *and all blocks before it*, so equal ids
// are equal prefixes. Other members are ignored.
// Source: Qin et al., "Mooncake", FAST 2025, and the traces released with it.
namespace kvasir {

inline constexpr uint64_t kTraceBlockTokens = 512;

struct TraceRequest {
  double timestamp_ms = 0;    // since the start of the trace
  uint64_t input_length = 0;  // tokens
  uint64_t output_length = 0;
  size_t first_id = 0;  // into Trace::hash_ids
  size_t id_count = 0;
};

// A whole trace in memory: about 8 bytes a block. Requests in the order of the file.
struct Trace {
  std::vector<TraceRequest> requests;
  std::vector<uint64_t> hash_ids;

  std::span<const uint64_t> IdsOf(const TraceRequest& request) const {
    return std::span(hash_ids).subspan(request.first_id, request.id_count);
  }
};

// Reads to the end of `in`; stops after `requests_max`. Empty lines are skipped.
// InvalidArgument "<name>:<line>: what is wrong" for the first line that is not a
// request; also for a trace without one.
absl::StatusOr<Trace> ReadTrace(std::istream& in, std::string_view name,
                                size_t requests_max = SIZE_MAX);

// What a cache without limits would hit: a block counts if every block of its request up
// to it has been in an earlier request.
class IdealCache {
 public:
  // Hits of the next request.
  size_t Admit(std::span<const uint64_t> hash_ids);

 private:
  std::unordered_set<uint64_t> seen_;
};

// Tokens of the request's input that its first `blocks` blocks stand for: the last block
// of an input may be part full.
uint64_t TokensOf(const TraceRequest& request, size_t blocks);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_REPLAY_TRACE_H_
