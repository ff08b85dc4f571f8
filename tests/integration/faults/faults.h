#ifndef KVASIR_TESTS_INTEGRATION_FAULTS_FAULTS_H_
#define KVASIR_TESTS_INTEGRATION_FAULTS_FAULTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace kvasir {

// Moments in the work of a disk tier at which its process can be made to die.
enum class FailPoint : uint8_t {
  kStoreBegun,       // nothing is written yet
  kSegmentCreated,   // in staging, empty
  kSegmentWritten,   // in staging, synced
  kSegmentLinked,    // in the database's directory, and the manifest does not know
  kManifestWritten,  // the segment is taken in, or dropped, but that is not synced
  kManifestSynced,
  kLogWritten,       // marks or tombstones
  kLogSynced,
  kStoreDone,        // durable, before anybody is told
  kDeleteBegun,      // hidden from clients, nothing written yet
  kDeleteDone,       // durable, before anybody is told
  kSegmentDropped,   // one file of those that go
  kLoadDone,
};
inline constexpr size_t kFailPoints = 13;
std::string_view FailPointName(FailPoint point);

// What can be wrong with a disk, or with a server that is to be caught.
enum class Fault : uint8_t {
  kWriteError,            // EIO from whatever writes
  kNoSpace,               // ENOSPC from whatever writes
  kManifestError,         // EIO from syncing the manifest, which has what was written
  kReadError,             // EIO from reads of segments
  kWriteStall,            // writes do not return while it is on
  kReadStall,             // reads of segments neither
  kEarlyAcknowledgement,  // a durable store is OK before, and without, its being done
  kForgottenRemoval,      // a deletion is OK and is not done
};
std::string_view FaultName(Fault fault);

// The faults of a server that a test has started: those that are on now, and where it is
// to die. The test says so through the environment that it starts the server with, and
// later through files; there is nothing of this in kvasird itself.
//
// Thread-safe.
class Faults {
 public:
  struct Death {
    FailPoint point;
    uint64_t count = 1;  // at the count-th time there
  };
  // For ServerProcess: dies as told, and has the faults of which `directory` has a file
  // with the name of the fault.
  static std::string DirectoryVariable(std::string_view directory);
  static std::string DeathVariable(const Death& death);
  static void Begin(std::string_view directory, Fault fault);
  static void End(std::string_view directory, Fault fault);

  // In the server: what its environment says. Ends the process if that is no sense.
  static Faults FromEnvironment();
  Faults(const Faults& other);

  // Kills the process if its time has come.
  void Pass(FailPoint point);
  bool IsOn(Fault fault) const;
  // Returns once the fault is not on.
  void Outlast(Fault fault) const;

 private:
  Faults() = default;

  std::string directory_;  // empty: no faults
  std::optional<Death> death_;
  std::atomic<uint64_t> passed_{0};  // of death_'s point
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_INTEGRATION_FAULTS_FAULTS_H_
