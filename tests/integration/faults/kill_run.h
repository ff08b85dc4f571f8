#ifndef KVASIR_TESTS_INTEGRATION_FAULTS_KILL_RUN_H_
#define KVASIR_TESTS_INTEGRATION_FAULTS_KILL_RUN_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/client.h"
#include "tests/integration/faults/faults.h"
#include "tests/integration/faults/key_history.h"
#include "tests/support/server_process.h"

namespace kvasir {

// Lives of one kvasird over one directory, each ended by SIGKILL while clients put,
// replace, remove and get, and what the next life has looked at key by key.
//
// Threads: one; it makes the clients' threads itself.
class KillRun {
 public:
  struct Options {
    std::string data_dir;
    std::string disk = "512MiB";
    // The disk holds everything: then nothing that was on disk once may be missing.
    bool whole = true;
    std::string faults;  // directory of faults; may be empty
    uint64_t seed = 1;
  };
  struct Life {
    std::optional<Faults::Death> death;
    // After so many calls of clients it is killed from outside, if it lives still.
    uint64_t calls_max = 0;
  };
  struct Totals {
    uint64_t kills = 0;
    std::map<FailPoint, uint64_t> deaths;  // of `kills`, by itself
    uint64_t durable_puts = 0, other_puts = 0, removals = 0, reads = 0;  // that were OK
    uint64_t refused = 0;    // calls that a living server did not say OK to
    uint64_t recovered = 0;  // blocks seen after restarts
  };

  explicit KillRun(const Options& options);
  ~KillRun();

  // Starts the server, looks at every key, and has it killed. Unless it is OK the server
  // could not be started.
  absl::Status Live(const Life& life);
  // The last look. Stops the server.
  absl::Status Finish();

  // What should not have been: at most a few.
  const std::vector<std::string>& faults_seen() const { return seen_; }
  const Totals& totals() const { return totals_; }

 private:
  absl::Status Start(const std::optional<Faults::Death>& death);
  absl::StatusOr<std::unique_ptr<Client>> Connect(size_t index) const;
  void LookAtEverything(Client* client);
  void Work(size_t writer, uint64_t seed) ABSL_LOCKS_EXCLUDED(mu_);
  // One call of a writer's; false once the server is gone.
  bool Call(size_t writer, Client* client, std::mt19937_64* random)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool Put(std::vector<KeyHistory*> keys, Durability durability, Client* client)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool Remove(KeyHistory* key, Client* client) ABSL_LOCKS_EXCLUDED(mu_);
  void Read(const std::vector<KeyHistory*>& keys, Client* client) ABSL_LOCKS_EXCLUDED(mu_);
  // Counts a call that came to `status`; false if the server is gone.
  bool Count(const absl::Status& status, uint64_t Totals::*counter)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Report(const std::string& fault) ABSL_LOCKS_EXCLUDED(mu_);

  const Options options_;
  std::mt19937_64 random_;
  // keys_[writer][i]: the writer's own.
  std::vector<std::vector<std::unique_ptr<KeyHistory>>> keys_;
  std::unique_ptr<ServerProcess> server_;

  absl::Mutex mu_;
  uint64_t calls_ ABSL_GUARDED_BY(mu_) = 0;  // in this life
  bool gone_ ABSL_GUARDED_BY(mu_) = false;   // somebody saw that the server has ended
  // Read outside of the lock while no thread works.
  std::vector<std::string> seen_;
  Totals totals_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_INTEGRATION_FAULTS_KILL_RUN_H_
