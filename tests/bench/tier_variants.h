#ifndef KVASIR_TESTS_BENCH_TIER_VARIANTS_H_
#define KVASIR_TESTS_BENCH_TIER_VARIANTS_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace kvasir::bench {

// Other ways to keep blocks in RocksDB than the tier's, for comparison. No background
// thread is left when a function returns.
enum class TierVariant {
  kMemtableLogged,      // Put, written to the log
  kMemtableLogSynced,   // Put, the log synced each time
  kMemtableUnlogged,    // Put, no log, flushed at the end
  kBlobFilesUnlogged,   // the same with values in blob files
};
const char* NameOf(TierVariant variant);

struct VariantLoad {
  std::string directory;  // is made anew
  size_t value_bytes = 0;
  size_t values = 0;
};
// Bytes a second of sequential writing, with all of it on disk at the end.
double VariantWriteRate(TierVariant variant, const VariantLoad& load);

// Bytes a second of reading all values of a variant's database, `batch` at a time, in
// random order, past the page cache: by one MultiGet, or by `threads` threads with Get.
struct VariantReads {
  VariantLoad load;
  size_t batch = 64;
  size_t threads = 1;
  bool multi_get = false;
  bool direct = true;
};
double VariantReadRate(const VariantReads& reads);

}  // namespace kvasir::bench

#endif  // KVASIR_TESTS_BENCH_TIER_VARIANTS_H_
