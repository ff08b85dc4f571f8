#ifndef KVASIR_TESTS_INTEGRATION_FAULTS_FAULTY_FILE_SYSTEM_H_
#define KVASIR_TESTS_INTEGRATION_FAULTS_FAULTY_FILE_SYSTEM_H_

#include <rocksdb/env.h>

#include <memory>

#include "tests/integration/faults/faults.h"

namespace kvasir {

// An environment for RocksDB that passes the failpoints of files, and whose disk has the
// faults that are on. An operation that fails has not reached the disk. RocksDB's own
// diary (LOG) is spared. Thread-safe; `faults` is not owned and must outlive it.
std::unique_ptr<rocksdb::Env> NewFaultyEnv(Faults* faults);

}  // namespace kvasir

#endif  // KVASIR_TESTS_INTEGRATION_FAULTS_FAULTY_FILE_SYSTEM_H_
