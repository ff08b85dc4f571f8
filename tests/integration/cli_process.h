#ifndef KVASIR_TESTS_INTEGRATION_CLI_PROCESS_H_
#define KVASIR_TESTS_INTEGRATION_CLI_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

namespace kvasir {

// The real `kvasir` in a process of its own, with files for its three streams.
class CliProcess {
 public:
  struct Result {
    int exit_code = -1;  // 128 plus the signal that ended it
    std::string out, err;
  };

  // Starts it. KVASIR_SERVER is `server`, or not set if that is empty.
  CliProcess(const std::string& server, const std::vector<std::string>& arguments,
             const std::string& input = "");
  ~CliProcess();  // kills what still runs
  CliProcess(const CliProcess&) = delete;
  CliProcess& operator=(const CliProcess&) = delete;

  void Signal(int signal);
  bool Running();
  Result Wait();

  static Result Run(const std::string& server, const std::vector<std::string>& arguments,
                    const std::string& input = "") {
    return CliProcess(server, arguments, input).Wait();
  }

 private:
  std::string Path(const char* stream) const { return directory_ + "/" + stream; }
  void Reap(int flags);

  std::string directory_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_INTEGRATION_CLI_PROCESS_H_
