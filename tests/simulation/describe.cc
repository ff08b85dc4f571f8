#include "tests/simulation/describe.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

namespace kvasir::sim {
namespace {

std::string_view NameOf(v1::KeyOutcome outcome) {
  constexpr std::string_view kPrefix = "KEY_OUTCOME_";
  return std::string_view(v1::KeyOutcome_Name(outcome)).substr(kPrefix.size());
}

template <typename Grant>
std::string DescribeGrant(std::string_view verb, std::string_view key,
                          const Grant& grant) {
  if (grant.outcome() != v1::KEY_OUTCOME_OK) {
    return fmt::format(" {} {} -> {};", verb, key, NameOf(grant.outcome()));
  }
  return fmt::format(" {} {} -> lease {} at {};", verb, key, grant.lease(),
                     grant.offset_bytes());
}

std::string DescribeCommits(const v1::CommitRequest& request,
                            const v1::CommitResponse& response) {
  std::string text;
  for (int i = 0; i < response.outcomes_size(); ++i) {
    text += fmt::format(" commit lease {} -> {};", request.items(i).lease(),
                        NameOf(response.outcomes(i)));
  }
  return text;
}

std::string DescribeAnswer(const v1::LaneRequest& request,
                           const v1::LaneResponse& response) {
  std::string text;
  switch (response.response_case()) {
    case v1::LaneResponse::kError:
      return " refused: " + response.error().message();
    case v1::LaneResponse::kLookup:
      return fmt::format(
          " lookup {}, {} in front, {} pinned", fmt::join(request.lookup().keys(), ","),
          response.lookup().prefix_count(), response.lookup().pinned_count());
    case v1::LaneResponse::kGrantReads:
      for (int i = 0; i < response.grant_reads().grants_size(); ++i) {
        text += DescribeGrant("read", request.grant_reads().keys(i),
                              response.grant_reads().grants(i));
      }
      return text + fmt::format(" for {} ms", response.grant_reads().ttl_ms());
    case v1::LaneResponse::kGrantWrites:
      for (int i = 0; i < response.grant_writes().grants_size(); ++i) {
        text += DescribeGrant(request.grant_writes().replace() ? "replace" : "write",
                              request.grant_writes().writes(i).key(),
                              response.grant_writes().grants(i));
      }
      return text + fmt::format(" for {} ms", response.grant_writes().ttl_ms());
    case v1::LaneResponse::kCommit:
      return DescribeCommits(request.commit(), response.commit());
    case v1::LaneResponse::kAbort:
      return fmt::format(" abort leases {}", fmt::join(request.abort().leases(), ","));
    case v1::LaneResponse::kRemove:
      for (int i = 0; i < response.remove().outcomes_size(); ++i) {
        text += fmt::format(" remove {} -> {};", request.remove().keys(i),
                            NameOf(response.remove().outcomes(i)));
      }
      return text;
    case v1::LaneResponse::kUnpinOwner:
      return " unpin owner";
    default:
      return " release";
  }
}

}  // namespace

std::string Describe(const v1::LaneRequest& request, const v1::LaneResponse& response) {
  std::string text;
  if (request.releases_size() > 0) {
    text = fmt::format(" release {};", fmt::join(request.releases(), ","));
  }
  return text + DescribeAnswer(request, response);
}

}  // namespace kvasir::sim
