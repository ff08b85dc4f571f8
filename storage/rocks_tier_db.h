#ifndef KVASIR_STORAGE_ROCKS_TIER_DB_H_
#define KVASIR_STORAGE_ROCKS_TIER_DB_H_

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/slice.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace kvasir {

inline rocksdb::Slice ToSlice(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToView(const rocksdb::Slice& slice) {
  return {slice.data(), slice.size()};
}

// Changes of metadata that are made together.
class MetaBatch {
 public:
  void Put(std::string_view key, std::string_view value) {
    changes_.push_back({Kind::kPut, std::string(key), std::string(value)});
  }
  void Delete(std::string_view key) {
    changes_.push_back({Kind::kDelete, std::string(key), ""});
  }
  // Of all of [begin, end).
  void DeleteRange(std::string_view begin, std::string_view end) {
    changes_.push_back({Kind::kDeleteRange, std::string(begin), std::string(end)});
  }
  bool empty() const { return changes_.empty(); }

 private:
  friend class RocksTierDb;
  enum class Kind : uint8_t { kPut, kDelete, kDeleteRange };
  struct Change {
    Kind kind;
    std::string key, value;
  };
  std::vector<Change> changes_;
};

// The disk tier's use of RocksDB: one column family of segments, each one file that was
// ingested into the bottom level and is never compacted, and one small column family of
// metadata with a write-ahead log. Knows keys and files, not what is in a value.
//
// After an error of the disk RocksDB writes no more until it is told to go on, and after
// some errors (any in its log or manifest but a full disk) not even then. The write that
// comes next tells it, and if that does not help, and the disk does take a file again,
// closes the database and opens it anew. Others wait for that as long as it takes.
// Where it can be opened for reads alone, because the disk takes no writes, it is: then
// every write tries for more, and fails with what stood in the way.
//
// Errors of every method: ResourceExhausted if the disk is full, DataLoss if the database
// finds damage, Unavailable for other failures of the disk, and while the database is
// closed because it could not be opened anew; that is tried again with the next write.
//
// Threads: any; RocksDB's own background threads are two, for the metadata.
// Source:  RocksDB 7.8, include/rocksdb/options.h and db.h; db/error_handler.cc for which
//          errors are fatal.
class RocksTierDb {
 public:
  struct Options {
    std::string path;
    std::string staging;         // same file system; files here are moved in
    bool direct_reads = true;    // past the page cache
    bool direct_writes = true;   // of segments
    rocksdb::Env* env = nullptr;  // null: the default; must outlive the database
  };
  // DataLoss if the database is there and cannot be read; Unavailable if the disk does
  // not let us; ResourceExhausted if there is none yet, and no room for one.
  static absl::StatusOr<std::unique_ptr<RocksTierDb>> Open(const Options& options);
  ~RocksTierDb();

  struct SegmentFile {
    uint64_t number = 0;
    uint64_t file_bytes = 0;
  };
  // In the order of their numbers. REQUIRES: no write has failed yet.
  std::vector<SegmentFile> Segments() const;
  // Entries of all segments, listings included.
  absl::StatusOr<uint64_t> CountEntries() const;
  // Takes files in from staging, all or none, durably.
  absl::Status Ingest(const std::vector<std::string>& paths);
  // Deletes the segments' files.
  absl::Status DropSegments(std::span<const uint64_t> numbers);
  // NotFound if the segment is not here, or has no such key.
  absl::Status Read(std::string_view data_key, rocksdb::PinnableSlice* value) const;

  // Logged: survives the death of the process on return.
  absl::Status WriteMeta(const MetaBatch& batch);
  // The same, and it survives the loss of power.
  absl::Status WriteMetaSynced(const MetaBatch& batch);
  // Visits [begin, end) in order.
  absl::Status VisitMeta(
      std::string_view begin, std::string_view end,
      absl::FunctionRef<void(std::string_view key, std::string_view value)> visit) const;

  // For writing segments that this database takes.
  const rocksdb::Options& segment_options() const { return segment_options_; }
  const rocksdb::EnvOptions& segment_env_options() const { return env_options_; }
  const std::string& staging() const { return options_.staging; }

 private:
  // As long as there is one, the database stays as it is, open or closed. A thread has
  // one at a time.
  class Use;
  enum class Access : uint8_t { kReads, kWrites };

  explicit RocksTierDb(const Options& options);
  // `tried`: what TryDisk has said. For reads alone, if that is all the disk allows.
  absl::Status OpenDatabase(const absl::Status& tried);
  rocksdb::Status OpenDatabaseAs(Access access);
  void CloseDatabase();
  absl::Status WriteMetaAs(const rocksdb::WriteOptions& how, const MetaBatch& batch);
  // Goes on after a write that failed.
  void Mend() ABSL_LOCKS_EXCLUDED(mu_);
  // Whether RocksDB goes on: not if what it met is fatal, or the database is closed, or
  // open for reads alone.
  bool Resume() ABSL_LOCKS_EXCLUDED(mu_);
  void Reopen() ABSL_LOCKS_EXCLUDED(mu_);
  // Whether the disk takes what opening for writes writes: RocksDB, built with assertions,
  // ends the process where a file of it has no room.
  absl::Status TryDisk() const;
  absl::Status Written(const rocksdb::Status& status, std::string_view what);

  const Options options_;
  const std::unique_ptr<rocksdb::Env> env_;
  rocksdb::Options segment_options_;
  rocksdb::EnvOptions env_options_;
  // Relaxed: a hint; a write that misses it fails and sets it again.
  std::atomic<bool> failed_{false};

  mutable absl::Mutex mu_;
  mutable size_t uses_ ABSL_GUARDED_BY(mu_) = 0;
  bool reopening_ ABSL_GUARDED_BY(mu_) = false;
  // Changed while reopening_, without any use, and read by uses: mu_ orders the two.
  std::unique_ptr<rocksdb::DB> db_;  // null: closed
  rocksdb::ColumnFamilyHandle* segments_ = nullptr;
  rocksdb::ColumnFamilyHandle* meta_ = nullptr;
  absl::Status read_only_;  // why it is open for reads alone; OK: for writes too
};

// What RocksDB's status means here; `what` begins the message.
absl::Status FromRocks(const rocksdb::Status& status, std::string_view what);

}  // namespace kvasir

#endif  // KVASIR_STORAGE_ROCKS_TIER_DB_H_
