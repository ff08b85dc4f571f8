#ifndef KVASIR_SERVICE_BIND_ERROR_H_
#define KVASIR_SERVICE_BIND_ERROR_H_

#include <string_view>

#include "absl/status/status.h"
#include "service/listen_address.h"

namespace kvasir {

// Why `setting` could not listen on `address`, for libraries that say only that it
// failed: resolves and binds it once more and tells what the system answers. Unavailable
// if the port is in use, the system's own code otherwise; never OK.
absl::Status BindError(std::string_view setting, const ListenAddress& address);

}  // namespace kvasir

#endif  // KVASIR_SERVICE_BIND_ERROR_H_
