#ifndef KVASIR_STORAGE_ROCKS_TIER_ENV_H_
#define KVASIR_STORAGE_ROCKS_TIER_ENV_H_

#include <rocksdb/env.h>

#include <memory>

namespace kvasir {

// `base` with direct reads and writes of files going through buffers in huge pages (see
// IoBuffers). RocksDB's own come from malloc: a read of 1 MiB is then 256 pages anywhere
// in memory, which a virtual disk is told of one by one, and copies one by one.
//
// Direct means here: files that are opened with use_direct_reads for random access, and
// those opened with use_direct_writes. All others are those of `base`. A file read like
// this tells RocksDB that it takes any offset, size and memory, so that RocksDB does not
// align and copy once more.
//
// Errors of a read or write: those of `base`; IOError if there is no memory for a buffer.
// Threads: any, as RocksDB's files. REQUIRES: `base` outlives what is returned.
std::unique_ptr<rocksdb::Env> NewHugePageEnv(rocksdb::Env* base);

}  // namespace kvasir

#endif  // KVASIR_STORAGE_ROCKS_TIER_ENV_H_
