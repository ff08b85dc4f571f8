#ifndef KVASIR_TESTS_STORAGE_DYING_FILE_SYSTEM_H_
#define KVASIR_TESTS_STORAGE_DYING_FILE_SYSTEM_H_

#include <rocksdb/env.h>

#include <cstdint>
#include <memory>

namespace kvasir {

// An environment for RocksDB whose process is killed (SIGKILL, by itself) at the n-th
// operation that changes a file or a directory: before it is done, or, for an append,
// when half of it is. 0: never. Thread-safe.
std::unique_ptr<rocksdb::Env> NewDyingEnv(uint64_t die_at);

}  // namespace kvasir

#endif  // KVASIR_TESTS_STORAGE_DYING_FILE_SYSTEM_H_
