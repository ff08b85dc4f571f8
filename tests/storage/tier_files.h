#ifndef KVASIR_TESTS_STORAGE_TIER_FILES_H_
#define KVASIR_TESTS_STORAGE_TIER_FILES_H_

#include <string>

namespace kvasir {

// A directory of its own for one test, removed with all that is in it.
class TierFiles {
 public:
  TierFiles();
  ~TierFiles();
  TierFiles(const TierFiles&) = delete;
  TierFiles& operator=(const TierFiles&) = delete;

  // For a tier; not there yet.
  std::string tier() const { return path_ + "/tier"; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_STORAGE_TIER_FILES_H_
