#include "tests/bench/tier_variants.h"

#include <fmt/core.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/executor.h"
#include "base/limits.h"
#include "base/parallel.h"
#include "tests/bench/measure.h"

namespace kvasir::bench {
namespace {

constexpr size_t kReadersMax = 16;

std::string KeyOf(size_t i) { return fmt::format("block-{:012}", i); }

// Plain tables with FIFO compaction, as good as the memtable way gets.
rocksdb::Options OptionsFor(TierVariant variant, bool direct) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kNoCompression;
  options.compaction_style = rocksdb::kCompactionStyleFIFO;
  options.compaction_options_fifo.max_table_files_size = UINT64_MAX;
  options.write_buffer_size = 64 * kMiB;
  options.max_write_buffer_number = 4;
  options.use_direct_reads = direct;
  options.use_direct_io_for_flush_and_compaction = true;
  if (variant == TierVariant::kBlobFilesUnlogged) {
    options.compaction_style = rocksdb::kCompactionStyleLevel;
    options.enable_blob_files = true;
    options.min_blob_size = 4 * kKiB;
  }
  rocksdb::BlockBasedTableOptions table;
  table.no_block_cache = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

std::unique_ptr<rocksdb::DB> Open(TierVariant variant, const std::string& directory,
                                  bool direct) {
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      rocksdb::DB::Open(OptionsFor(variant, direct), directory, &db);
  KV_CHECK(status.ok());
  return std::unique_ptr<rocksdb::DB>(db);
}

std::string RandomValue(size_t bytes) {
  std::mt19937_64 random(3);
  std::string value(bytes, '\0');
  for (char& byte : value) byte = static_cast<char>(random());
  return value;
}

double ReadBatch(rocksdb::DB* db, const VariantReads& reads, Executor* pool,
                 std::span<const std::string> keys) {
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  return Seconds([&] {
    if (reads.multi_get) {
      const std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
      std::vector<rocksdb::Status> statuses(keys.size());
      db->MultiGet({}, db->DefaultColumnFamily(), keys.size(), slices.data(),
                   values.data(), statuses.data());
      for (const rocksdb::Status& status : statuses) KV_CHECK(status.ok());
      return;
    }
    ParallelFor({.executor = pool, .helpers_max = reads.threads - 1}, keys.size(),
                [&](size_t i) {
                  KV_CHECK(db->Get({}, db->DefaultColumnFamily(), keys[i], &values[i])
                               .ok());
                });
  });
}

}  // namespace

const char* NameOf(TierVariant variant) {
  switch (variant) {
    case TierVariant::kMemtableLogged:
      return "memtable and log";
    case TierVariant::kMemtableLogSynced:
      return "memtable and synced log";
    case TierVariant::kMemtableUnlogged:
      return "memtable, no log";
    case TierVariant::kBlobFilesUnlogged:
      return "blob files, no log";
  }
  return "";
}

double VariantWriteRate(TierVariant variant, const VariantLoad& load) {
  std::filesystem::remove_all(load.directory);
  const std::unique_ptr<rocksdb::DB> db = Open(variant, load.directory, true);
  const std::string value = RandomValue(load.value_bytes);
  rocksdb::WriteOptions how;
  how.disableWAL = variant == TierVariant::kMemtableUnlogged ||
                   variant == TierVariant::kBlobFilesUnlogged;
  how.sync = variant == TierVariant::kMemtableLogSynced;
  const double seconds = Seconds([&] {
    for (size_t i = 0; i < load.values; ++i) KV_CHECK(db->Put(how, KeyOf(i), value).ok());
    KV_CHECK(db->Flush({}).ok());
  });
  KV_CHECK(db->Close().ok());
  return static_cast<double>(load.values * load.value_bytes) / seconds;
}

double VariantReadRate(const VariantReads& reads) {
  const std::unique_ptr<rocksdb::DB> db =
      Open(TierVariant::kMemtableUnlogged, reads.load.directory, reads.direct);
  ThreadPool pool({.name = "variant-reads", .threads = kReadersMax});
  std::vector<std::string> keys;
  for (size_t i = 0; i < reads.load.values; ++i) keys.push_back(KeyOf(i));
  std::ranges::shuffle(keys, std::mt19937_64(5));
  double seconds = 0;
  for (size_t first = 0; first + reads.batch <= keys.size(); first += reads.batch) {
    seconds += ReadBatch(db.get(), reads, &pool,
                         std::span(keys).subspan(first, reads.batch));
  }
  KV_CHECK(db->Close().ok());
  const size_t batches = keys.size() / reads.batch;
  return static_cast<double>(batches * reads.batch * reads.load.value_bytes) / seconds;
}

}  // namespace kvasir::bench
