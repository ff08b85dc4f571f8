#include "storage/rocks_tier_db.h"

#include <fmt/core.h>
#include <rocksdb/convenience.h>
#include <rocksdb/env.h>
#include <rocksdb/metadata.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/count_text.h"
#include "base/limits.h"
#include "base/log.h"
#include "storage/disk_format.h"
#include "storage/rocks_tier_env.h"

namespace kvasir {
namespace {

constexpr size_t kDatabaseBlockBytes = 4 * kKiB;
static_assert(kDatabaseBlockBytes <= kTierListingChunkBytesMin);

constexpr size_t kMetaBufferBytes = 1 * kMiB;
// A write to the file; measured (docs/disk_format.md).
constexpr size_t kSegmentWriteBytes = 512 * kKiB;
constexpr size_t kManifestBytesMax = 16 * kMiB;
constexpr size_t kLogBytesMax = 1 * kMiB;
constexpr int kLogsKept = 2;
constexpr int kBackgroundJobs = 2;
// What opening for writes has to write, and more: the log as tables, a manifest, options.
constexpr size_t kOpeningBytes = 4 * kMiB;
constexpr char kMetaFamily[] = "meta";

// Half of what this process may open; each open file keeps its index in memory.
int OpenFilesMax() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return -1;
  }
  return static_cast<int>(std::clamp<rlim_t>(limit.rlim_cur / 2, 64, 1'000'000));
}

rocksdb::DBOptions DatabaseOptions(const RocksTierDb::Options& options,
                                   rocksdb::Env* env) {
  rocksdb::DBOptions db;
  db.env = env;
  db.create_if_missing = true;
  db.create_missing_column_families = true;
  db.max_open_files = OpenFilesMax();
  db.max_background_jobs = kBackgroundJobs;
  db.use_direct_reads = options.direct_reads;
  db.writable_file_max_buffer_size = kSegmentWriteBytes;
  db.avoid_unnecessary_blocking_io = true;
  db.skip_stats_update_on_db_open = true;
  // A torn record at the end is what a kill leaves; damage before it is refused.
  db.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  db.max_manifest_file_size = kManifestBytesMax;
  db.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  db.max_log_file_size = kLogBytesMax;
  db.keep_log_file_num = kLogsKept;
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  return db;
}

// Values are large and cached above, and keys are looked up only where they are: no
// block cache, no filters, no compression (KV data does not compress for its price).
rocksdb::ColumnFamilyOptions SegmentFamilyOptions() {
  rocksdb::ColumnFamilyOptions family;
  family.compaction_style = rocksdb::kCompactionStyleLevel;
  family.num_levels = 2;
  family.disable_auto_compactions = true;
  family.compression = rocksdb::kNoCompression;
  family.write_buffer_size = kMetaBufferBytes;
  rocksdb::BlockBasedTableOptions table;
  table.no_block_cache = true;
  table.block_size = kDatabaseBlockBytes;
  table.checksum = rocksdb::kXXH3;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return family;
}

rocksdb::ColumnFamilyOptions MetaFamilyOptions() {
  rocksdb::ColumnFamilyOptions family;
  family.compression = rocksdb::kNoCompression;
  family.write_buffer_size = kMetaBufferBytes;
  rocksdb::BlockBasedTableOptions table;
  table.no_block_cache = true;
  table.checksum = rocksdb::kXXH3;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return family;
}

// RocksDB would make a new database where CURRENT is missing, over the files of the old.
absl::Status CheckCurrent(const std::string& path) {
  std::error_code error;
  if (std::filesystem::exists(path + "/CURRENT", error)) return absl::OkStatus();
  for (const auto& file : std::filesystem::directory_iterator(path, error)) {
    if (file.path().extension() == ".sst") {
      return absl::DataLossError(
          fmt::format("open tier: {} has tables and no CURRENT", path));
    }
  }
  return absl::OkStatus();
}

bool HasCurrent(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path + "/CURRENT", error) || error;
}

absl::Status OpenFailed(const rocksdb::Status& status, const std::string& path) {
  const std::string text = fmt::format("open tier: {}: {}", path, status.ToString());
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(text);
  // A file that is named and missing is damage; any other error of the disk may pass.
  if (status.IsIOError() && !status.IsPathNotFound()) return absl::UnavailableError(text);
  return absl::DataLossError(text);
}

}  // namespace

absl::Status FromRocks(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return absl::OkStatus();
  const std::string text = fmt::format("{}: {}", what, status.ToString());
  if (status.IsNotFound()) return absl::NotFoundError(text);
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(text);
  if (status.IsCorruption()) return absl::DataLossError(text);
  return absl::UnavailableError(text);
}

class RocksTierDb::Use {
 public:
  explicit Use(const RocksTierDb* db) : db_(db) {
    absl::MutexLock lock(&db_->mu_);
    const auto here = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(db_->mu_) {
      return !db_->reopening_;
    };
    db_->mu_.Await(absl::Condition(&here));
    ++db_->uses_;
  }
  ~Use() {
    absl::MutexLock lock(&db_->mu_);
    --db_->uses_;
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  // Unavailable if the database is closed.
  absl::Status for_reads() const {
    if (db_->db_ != nullptr) return absl::OkStatus();
    return absl::UnavailableError(
        "use tier: its database is closed, and could not be opened again yet");
  }
  // What stands in the way of writes too.
  absl::Status for_writes() const {
    absl::Status open = for_reads();
    return open.ok() ? db_->read_only_ : open;
  }

 private:
  const RocksTierDb* const db_;
};

RocksTierDb::RocksTierDb(const Options& options)
    : options_(options),
      env_(NewHugePageEnv(options.env != nullptr ? options.env : rocksdb::Env::Default())),
      segment_options_(DatabaseOptions(options, env_.get()), SegmentFamilyOptions()),
      env_options_(segment_options_) {
  env_options_.use_direct_writes = options.direct_writes;
  env_options_.use_mmap_writes = false;
}

absl::StatusOr<std::unique_ptr<RocksTierDb>> RocksTierDb::Open(const Options& options) {
  if (absl::Status current = CheckCurrent(options.path); !current.ok()) return current;
  std::unique_ptr<RocksTierDb> db(new RocksTierDb(options));
  if (absl::Status opened = db->OpenDatabase(db->TryDisk()); !opened.ok()) return opened;
  if (!db->read_only_.ok()) {
    db->failed_.store(true, std::memory_order_relaxed);
    Log(LogLevel::kWarning, fmt::format("disk tier: open for reads alone: {}",
                                        ToStd(db->read_only_.message())));
  }
  return db;
}

absl::Status RocksTierDb::OpenDatabase(const absl::Status& tried) {
  absl::Status failed = tried;
  if (tried.ok()) {
    const rocksdb::Status opened = OpenDatabaseAs(Access::kWrites);
    read_only_ = absl::OkStatus();
    if (opened.ok()) return absl::OkStatus();
    failed = OpenFailed(opened, options_.path);
  }
  if (absl::IsDataLoss(failed) || !HasCurrent(options_.path)) return failed;
  const rocksdb::Status readable = OpenDatabaseAs(Access::kReads);
  if (readable.ok()) {
    read_only_ = failed;
    return absl::OkStatus();
  }
  // Its families are missing: a first start had no room to finish it.
  return readable.IsInvalidArgument() ? failed : OpenFailed(readable, options_.path);
}

rocksdb::Status RocksTierDb::OpenDatabaseAs(Access access) {
  const std::vector<rocksdb::ColumnFamilyDescriptor> families = {
      {rocksdb::kDefaultColumnFamilyName, SegmentFamilyOptions()},
      {kMetaFamily, MetaFamilyOptions()}};
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const rocksdb::DBOptions how = DatabaseOptions(options_, env_.get());
  rocksdb::Status status =
      access == Access::kWrites
          ? rocksdb::DB::Open(how, options_.path, families, &handles, &db)
          : rocksdb::DB::OpenForReadOnly(how, options_.path, families, &handles, &db);
  if (!status.ok()) return status;
  db_.reset(db);
  segments_ = handles[0];
  meta_ = handles[1];
  return status;
}

RocksTierDb::~RocksTierDb() { CloseDatabase(); }

void RocksTierDb::CloseDatabase() {
  if (db_ == nullptr) return;
  // Fails only if it was closed before, or holds snapshots, which nobody takes.
  for (rocksdb::ColumnFamilyHandle* family : {segments_, meta_}) {
    KV_CHECK(db_->DestroyColumnFamilyHandle(family).ok());
  }
  db_->Close().PermitUncheckedError();  // What was acknowledged is on disk already.
  db_.reset();
}

std::vector<RocksTierDb::SegmentFile> RocksTierDb::Segments() const {
  rocksdb::ColumnFamilyMetaData family;
  db_->GetColumnFamilyMetaData(segments_, &family);
  std::vector<SegmentFile> files;
  for (const rocksdb::LevelMetaData& level : family.levels) {
    for (const rocksdb::SstFileMetaData& file : level.files) {
      const std::optional<uint64_t> number = SegmentOfDataKey(file.smallestkey);
      if (number) files.push_back({.number = *number, .file_bytes = file.size});
    }
  }
  std::ranges::sort(files, {}, &SegmentFile::number);
  return files;
}

absl::StatusOr<uint64_t> RocksTierDb::CountEntries() const {
  rocksdb::TablePropertiesCollection tables;
  const rocksdb::Status status = db_->GetPropertiesOfAllTables(segments_, &tables);
  if (!status.ok()) return FromRocks(status, "count entries");
  uint64_t entries = 0;
  for (const auto& [name, properties] : tables) entries += properties->num_entries;
  return entries;
}

void RocksTierDb::Mend() {
  if (!failed_.exchange(false, std::memory_order_relaxed)) return;
  if (!Resume()) Reopen();
}

bool RocksTierDb::Resume() {
  const Use use(this);
  if (!use.for_writes().ok()) return false;
  // If another error stops it still, the write that comes next says so.
  return db_->Resume().severity() < rocksdb::Status::Severity::kFatalError;
}

void RocksTierDb::Reopen() {
  // A database that is stopped can be read, one that is closed cannot: it is closed only
  // once it can probably be opened.
  if (absl::Status tried = TryDisk(); !tried.ok()) {
    failed_.store(true, std::memory_order_relaxed);
    return;
  }
  {
    absl::MutexLock lock(&mu_);
    if (reopening_) return;  // Another writer does it; this one waits for it as a use.
    reopening_ = true;
    const auto unused = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return uses_ == 0;
    };
    mu_.Await(absl::Condition(&unused));
  }
  CloseDatabase();
  absl::Status opened = OpenDatabase(absl::OkStatus());
  if (opened.ok()) opened = read_only_;
  failed_.store(!opened.ok(), std::memory_order_relaxed);
  Log(opened.ok() ? LogLevel::kWarning : LogLevel::kError,
      opened.ok() ? "disk tier: opened its database again, which a failed write had stopped"
                  : fmt::format("disk tier: {}", ToStd(opened.message())));
  absl::MutexLock lock(&mu_);
  reopening_ = false;
}

absl::Status RocksTierDb::TryDisk() const {
  const std::string name = options_.staging + "/probe";
  const std::string what = fmt::format("open tier: {}: try its disk", options_.path);
  const std::string bytes(kOpeningBytes, '\0');
  const rocksdb::Status wrote = rocksdb::WriteStringToFile(env_.get(), bytes, name, /*sync=*/true);
  if (!wrote.ok()) return FromRocks(wrote, what);
  return FromRocks(env_->DeleteFile(name), what);
}

absl::Status RocksTierDb::Written(const rocksdb::Status& status, std::string_view what) {
  if (!status.ok()) failed_.store(true, std::memory_order_relaxed);
  return FromRocks(status, what);
}

absl::Status RocksTierDb::Ingest(const std::vector<std::string>& paths) {
  Mend();
  const Use use(this);
  if (absl::Status open = use.for_writes(); !open.ok()) return open;
  rocksdb::IngestExternalFileOptions how;
  how.move_files = true;
  how.write_global_seqno = false;
  // A segment's keys are its own, so it always fits there; if not, the files could not
  // be dropped by range any more.
  how.fail_if_not_bottommost_level = true;
  return Written(db_->IngestExternalFile(segments_, paths, how),
                 fmt::format("ingest {}", CountText(paths.size(), "segment")));
}

absl::Status RocksTierDb::DropSegments(std::span<const uint64_t> numbers) {
  if (numbers.empty()) return absl::OkStatus();
  Mend();
  const Use use(this);
  if (absl::Status open = use.for_writes(); !open.ok()) return open;
  std::vector<std::string> bounds;
  for (uint64_t number : numbers) {
    bounds.push_back(SegmentBegin(number));
    bounds.push_back(SegmentEnd(number));
  }
  std::vector<rocksdb::Slice> slices(bounds.begin(), bounds.end());
  std::vector<rocksdb::RangePtr> ranges;
  for (size_t i = 0; i < slices.size(); i += 2) {
    ranges.emplace_back(&slices[i], &slices[i + 1]);
  }
  return Written(rocksdb::DeleteFilesInRanges(db_.get(), segments_, ranges.data(),
                                              ranges.size(), /*include_end=*/false),
                 fmt::format("drop {}", CountText(numbers.size(), "segment")));
}

absl::Status RocksTierDb::Read(std::string_view data_key,
                               rocksdb::PinnableSlice* value) const {
  const Use use(this);
  if (absl::Status open = use.for_reads(); !open.ok()) return open;
  rocksdb::ReadOptions how;
  how.verify_checksums = true;
  how.fill_cache = false;
  return FromRocks(db_->Get(how, segments_, ToSlice(data_key), value), "read record");
}

absl::Status RocksTierDb::WriteMeta(const MetaBatch& batch) {
  return WriteMetaAs(rocksdb::WriteOptions(), batch);
}

absl::Status RocksTierDb::WriteMetaSynced(const MetaBatch& batch) {
  rocksdb::WriteOptions how;
  how.sync = true;
  return WriteMetaAs(how, batch);
}

absl::Status RocksTierDb::WriteMetaAs(const rocksdb::WriteOptions& how,
                                      const MetaBatch& batch) {
  Mend();
  const Use use(this);
  if (absl::Status open = use.for_writes(); !open.ok()) return open;
  rocksdb::WriteBatch changes;
  for (const auto& [kind, key, value] : batch.changes_) {
    const rocksdb::Status added =
        kind == MetaBatch::Kind::kPut      ? changes.Put(meta_, key, value)
        : kind == MetaBatch::Kind::kDelete ? changes.Delete(meta_, key)
                                           : changes.DeleteRange(meta_, key, value);
    KV_CHECK(added.ok());
  }
  return Written(db_->Write(how, &changes), "write metadata");
}

absl::Status RocksTierDb::VisitMeta(
    std::string_view begin, std::string_view end,
    absl::FunctionRef<void(std::string_view, std::string_view)> visit) const {
  rocksdb::ReadOptions how;
  const rocksdb::Slice bound = ToSlice(end);
  how.iterate_upper_bound = &bound;
  how.verify_checksums = true;
  const Use use(this);
  if (absl::Status open = use.for_reads(); !open.ok()) return open;
  const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(how, meta_));
  for (it->Seek(ToSlice(begin)); it->Valid(); it->Next()) {
    visit(ToView(it->key()), ToView(it->value()));
  }
  return FromRocks(it->status(), "read metadata");
}

}  // namespace kvasir
