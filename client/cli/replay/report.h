#ifndef KVASIR_CLIENT_CLI_REPLAY_REPORT_H_
#define KVASIR_CLIENT_CLI_REPLAY_REPORT_H_

#include <string>

#include "client/cli/output.h"
#include "client/cli/replay/replayer.h"

namespace kvasir {

// What a report says besides its own numbers.
struct ReplaySetting {
  std::string trace;
  std::string server;
  std::string transport;
  std::string durable = "none";  // as --durable says it
};

// The members of docs/cli.md, in its order.
Json ReplayJson(const ReplayReport& report, const ReplayOptions& options,
                const ReplaySetting& setting);
std::string ReplayText(const ReplayReport& report, const ReplayOptions& options,
                       const ReplaySetting& setting);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_REPLAY_REPORT_H_
