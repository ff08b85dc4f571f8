#ifndef KVASIR_STORAGE_ROCKS_TIER_DB_H_
#define KVASIR_STORAGE_ROCKS_TIER_DB_H_

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/slice.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvasir {

inline rocksdb::Slice ToSlice(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToView(const rocksdb::Slice& slice) {
  return {slice.data(), slice.size()};
}

// The disk tier's use of RocksDB: one column family of segments, each one file that was
// ingested into the bottom level and is never compacted, and one small column family of
// metadata with a write-ahead log. Knows keys and files, not what is in a value.
//
// Errors of every method: ResourceExhausted if the disk is full, DataLoss if the database
// finds damage, Unavailable for other failures of the disk.
//
// Threads: any; RocksDB's own background threads are two, for the metadata.
// Source:  RocksDB 7.8, include/rocksdb/options.h and db.h.
class RocksTierDb {
 public:
  struct Options {
    std::string path;
    std::string staging;         // same file system; files here are moved in
    bool direct_reads = true;    // past the page cache
    bool direct_writes = true;   // of segments
    rocksdb::Env* env = nullptr;  // null: the default; must outlive the database
  };
  // DataLoss if the database is there and cannot be read.
  static absl::StatusOr<std::unique_ptr<RocksTierDb>> Open(const Options& options);
  ~RocksTierDb();

  struct SegmentFile {
    uint64_t number = 0;
    uint64_t file_bytes = 0;
  };
  // In the order of their numbers.
  std::vector<SegmentFile> Segments() const;
  // Entries of all segments, listings included.
  absl::StatusOr<uint64_t> CountEntries() const;
  // Takes files in from staging, all or none, durably.
  absl::Status Ingest(const std::vector<std::string>& paths);
  // Deletes the segments' files.
  absl::Status DropSegments(std::span<const uint64_t> numbers);
  // NotFound if the segment is not here, or has no such key.
  absl::Status Read(std::string_view data_key, rocksdb::PinnableSlice* value) const;

  void PutMeta(rocksdb::WriteBatch* batch, std::string_view key, std::string_view value);
  void DeleteMeta(rocksdb::WriteBatch* batch, std::string_view key);
  void DeleteMetaRange(rocksdb::WriteBatch* batch, std::string_view begin,
                       std::string_view end);
  // Logged: survives the death of the process on return.
  absl::Status WriteMeta(rocksdb::WriteBatch* batch);
  // The same, and it survives the loss of power.
  absl::Status WriteMetaSynced(rocksdb::WriteBatch* batch);
  // Visits [begin, end) in order.
  absl::Status VisitMeta(
      std::string_view begin, std::string_view end,
      absl::FunctionRef<void(std::string_view key, std::string_view value)> visit) const;

  // For writing segments that this database takes.
  const rocksdb::Options& segment_options() const { return segment_options_; }
  const rocksdb::EnvOptions& segment_env_options() const { return env_options_; }
  const std::string& staging() const { return options_.staging; }

 private:
  explicit RocksTierDb(const Options& options);
  absl::Status OpenDatabase();
  // After a failed write RocksDB refuses all others until it is told to go on.
  void ResumeAfterFailure();
  absl::Status Written(const rocksdb::Status& status, std::string_view what);

  const Options options_;
  rocksdb::Options segment_options_;
  rocksdb::EnvOptions env_options_;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ColumnFamilyHandle* segments_ = nullptr;
  rocksdb::ColumnFamilyHandle* meta_ = nullptr;
  // Relaxed: a hint; a write that misses it fails and sets it again.
  std::atomic<bool> failed_{false};
};

// What RocksDB's status means here; `what` begins the message.
absl::Status FromRocks(const rocksdb::Status& status, std::string_view what);

}  // namespace kvasir

#endif  // KVASIR_STORAGE_ROCKS_TIER_DB_H_
