// kvasird: the node of Kvasir. See docs/operations.md.

#include "base/deadlock_detection.h"
#include "service/kvasird.h"
#include "service/rocks_opener.h"

int main(int argc, char** argv) {
  kvasir::StopDeadlockDetection();
  return kvasir::RunKvasird(argc, argv, kvasir::OpenRocksTier);
}
