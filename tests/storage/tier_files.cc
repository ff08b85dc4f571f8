#include "tests/storage/tier_files.h"

#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/check.h"

namespace kvasir {

TierFiles::TierFiles() {
  const char* const base = std::getenv("TEST_TMPDIR");
  path_ = std::string(base == nullptr ? "/tmp" : base) + "/tier.XXXXXX";
  KV_CHECK(::mkdtemp(path_.data()) != nullptr);
}

TierFiles::~TierFiles() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace kvasir
