#ifndef KVASIR_STORAGE_TIER_DIRECTORY_H_
#define KVASIR_STORAGE_TIER_DIRECTORY_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"

namespace kvasir {

// The directory of a disk tier, held by one process at a time:
//
//   KVASIR_FORMAT   whose directory this is, and in which version
//   KVASIR_LOCK     locked while a tier is open
//   db/             the database
//   staging/        segments that are being written; emptied at each start
//   set-aside-N/    databases that could not be read
//
// Threads: any, one at a time.
class TierDirectory {
 public:
  // Takes the directory, making it if there is none. FailedPrecondition if the path can
  // be no directory of ours (a file is in its way, or we may not make it), if another
  // process holds it, if it is not a tier's and not empty, or if its format is of another
  // version; DataLoss if KVASIR_FORMAT is damaged; PermissionDenied or Internal if the
  // file system does not let us; ResourceExhausted if it is full and no tier is here yet.
  static absl::StatusOr<std::unique_ptr<TierDirectory>> Open(const std::string& path);

  // Puts what is in the directory out of the way, into a new set-aside-N, so that Open
  // finds an empty tier; returns that path. Nothing is deleted or mended.
  // FailedPrecondition if a process holds the directory; ResourceExhausted if
  // kMaxTierSetAside are there already.
  static absl::StatusOr<std::string> SetAside(const std::string& path);

  std::string database() const { return path_ + "/db"; }
  std::string staging() const { return path_ + "/staging"; }

 private:
  TierDirectory(std::string path, UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  const std::string path_;
  const UniqueFd lock_;
};

}  // namespace kvasir

#endif  // KVASIR_STORAGE_TIER_DIRECTORY_H_
