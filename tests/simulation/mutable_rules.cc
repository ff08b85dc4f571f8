#include "base/rules.h"

// The rules as variables, for programs that compile everything that reads them with
// KVASIR_MUTABLE_RULES: the mutation check.
namespace kvasir::rules {

bool kFence = true;
bool kS1 = true;
bool kS2 = true;
bool kChecksum = true;
bool kDeadline = true;
bool kSettled = true;
bool kHidden = true;
bool kRechecked = true;
bool kCurrent = true;
bool kAsDurable = true;

}  // namespace kvasir::rules
