#ifndef KVASIR_CLIENT_CLI_APP_H_
#define KVASIR_CLIENT_CLI_APP_H_

#include <string>
#include <vector>

#include "client/cli/environment.h"
#include "client/cli/exit_code.h"

namespace kvasir {

// The `kvasir` command: parses `arguments` (without the program's name), runs what they
// ask for, and says what went wrong on environment.err.
ExitCode RunApp(const std::vector<std::string>& arguments,
                const Environment& environment);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_APP_H_
