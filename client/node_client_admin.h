#ifndef KVASIR_CLIENT_NODE_CLIENT_ADMIN_H_
#define KVASIR_CLIENT_NODE_CLIENT_ADMIN_H_

#include <memory>

#include "absl/status/statusor.h"
#include "client/admin_client.h"

// AdminClient over gRPC.
namespace kvasir {

// Does not wait for the node: the first call tells whether it answers. InvalidArgument
// for an address that is neither HOST:PORT nor unix:PATH.
absl::StatusOr<std::unique_ptr<AdminClient>> ConnectAdmin(const AdminOptions& options);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_NODE_CLIENT_ADMIN_H_
