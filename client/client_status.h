#ifndef KVASIR_CLIENT_CLIENT_STATUS_H_
#define KVASIR_CLIENT_CLIENT_STATUS_H_

#include <chrono>
#include <string_view>

#include "absl/status/status.h"
#include "client/client.h"
#include "client/outcome.h"

// What a client's caller is told: limits that are checked before anything is sent, and
// outcomes as statuses.
namespace kvasir {

// InvalidArgument, with the number and the limit, for what no node would take.
absl::Status CheckKey(std::string_view key);
absl::Status CheckPut(const PutItem& item);
absl::Status CheckPin(std::string_view owner, std::chrono::milliseconds ttl);

// Every way to miss is NotFound; the message says which.
absl::Status GetStatus(const KeyResult& result);
absl::Status PutStatus(const KeyResult& result);
// Of what acts on a stored block and does not move it: remove, pin.
absl::Status FoundStatus(const KeyResult& result);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLIENT_STATUS_H_
