#ifndef KVASIR_CLIENT_CLI_EXIT_CODE_H_
#define KVASIR_CLIENT_CLI_EXIT_CODE_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace kvasir {

// What a script learns from a command.
enum class ExitCode : int {
  kOk = 0,
  kError = 1,
  kUsage = 2,        // the arguments make no sense
  kPartial = 3,      // done for some of the keys
  kNotFound = 4,     // done for none, because they are not stored
  kUnreachable = 5,  // the node does not answer
};

ExitCode ExitCodeOf(const absl::Status& status);
// Of `found` keys out of `asked`.
ExitCode ExitCodeOfCount(size_t found, size_t asked);

// What went wrong with `server` and what to do about it, for standard error.
std::string Explain(const absl::Status& status, std::string_view server);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_EXIT_CODE_H_
