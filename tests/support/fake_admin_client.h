#ifndef KVASIR_TESTS_SUPPORT_FAKE_ADMIN_CLIENT_H_
#define KVASIR_TESTS_SUPPORT_FAKE_ADMIN_CLIENT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/admin_client.h"
#include "tests/support/fake_client.h"

namespace kvasir {

// AdminService of a node whose blocks are those of a FakeClient. Not thread-safe.
class FakeAdminClient final : public AdminClient {
 public:
  struct State {
    absl::Status failure;  // of every call, unless OK
    size_t calls = 0;
    std::vector<v1::PinInfo> pins;
    v1::GetNodeInfoResponse info;
    v1::GetStatsResponse stats;
    bool drained = false;
  };

  // Neither is owned.
  FakeAdminClient(FakeClient* store, State* state) : store_(store), state_(state) {}

  absl::StatusOr<v1::PingResponse> Ping(const v1::PingRequest& request) override;
  absl::StatusOr<v1::ExistsResponse> Exists(const v1::ExistsRequest& request) override;
  // The page token is the decimal number of keys to skip.
  absl::StatusOr<v1::ListResponse> List(const v1::ListRequest& request) override;
  absl::StatusOr<v1::StatResponse> Stat(const v1::StatRequest& request) override;
  absl::StatusOr<v1::PinResponse> Pin(const v1::PinRequest& request) override;
  absl::StatusOr<v1::UnpinResponse> Unpin(const v1::UnpinRequest& request) override;
  // One pin a page.
  absl::StatusOr<v1::ListPinsResponse> ListPins(
      const v1::ListPinsRequest& request) override;
  absl::StatusOr<v1::RemoveKeysResponse> Remove(
      const v1::RemoveKeysRequest& request) override;
  absl::StatusOr<v1::ClearResponse> Clear(const v1::ClearRequest& request) override;
  absl::StatusOr<v1::GetNodeInfoResponse> GetNodeInfo(
      const v1::GetNodeInfoRequest& request) override;
  absl::StatusOr<v1::GetStatsResponse> GetStats(
      const v1::GetStatsRequest& request) override;
  absl::StatusOr<v1::DrainResponse> Drain(const v1::DrainRequest& request) override;

 private:
  // Counts the call and says whether it fails.
  absl::Status Begin();
  v1::KeyInfo InfoOf(const std::string& key) const;

  FakeClient* const store_;
  State* const state_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_FAKE_ADMIN_CLIENT_H_
