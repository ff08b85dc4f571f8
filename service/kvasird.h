#ifndef KVASIR_SERVICE_KVASIRD_H_
#define KVASIR_SERVICE_KVASIRD_H_

#include "service/node.h"

namespace kvasir {

// The program kvasird, all of it but the choice of its disk tier: reads its settings from
// `argv` and the environment, runs a node until it is told to stop, and drains it. Returns
// the exit code of docs/operations.md.
//
// To be called once, from main. REQUIRES: argc at least 1.
int RunKvasird(int argc, char** argv, const Node::TierOpener& open_tier);

}  // namespace kvasir

#endif  // KVASIR_SERVICE_KVASIRD_H_
