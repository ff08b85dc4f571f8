#ifndef KVASIR_TESTS_INTEGRATION_GRANT_HOLDER_PROCESS_H_
#define KVASIR_TESTS_INTEGRATION_GRANT_HOLDER_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"

namespace kvasir {

// A process that holds grants; grant_holder.cc tells what its arguments may be.
class GrantHolder {
 public:
  explicit GrantHolder(std::vector<std::string> arguments);
  ~GrantHolder();  // kills it
  GrantHolder(const GrantHolder&) = delete;
  GrantHolder& operator=(const GrantHolder&) = delete;

  // Waits until it says so. False if it has ended instead.
  bool AwaitReady();
  bool ended() const;
  // Sends a signal, and does not wait for what comes of it.
  void Signal(int signal);
  // Kills it and waits for its end.
  void Kill();

 private:
  UniqueFd output_;
  pid_t pid_ = -1;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_INTEGRATION_GRANT_HOLDER_PROCESS_H_
