#ifndef KVASIR_TESTS_SIMULATION_DESCRIBE_H_
#define KVASIR_TESTS_SIMULATION_DESCRIBE_H_

#include <string>

#include "kvasir/v1/kv.pb.h"

namespace kvasir::sim {

// One exchange of a lane in a line, for traces: "write key3 -> lease 7 at 8192".
std::string Describe(const v1::LaneRequest& request, const v1::LaneResponse& response);

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_DESCRIBE_H_
