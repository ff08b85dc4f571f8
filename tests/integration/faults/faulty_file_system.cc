#include "tests/integration/faults/faulty_file_system.h"

#include <rocksdb/file_system.h>

#include <string>
#include <string_view>
#include <utility>

namespace kvasir {
namespace {

using rocksdb::DataVerificationInfo;
using rocksdb::FileOptions;
using rocksdb::FSRandomAccessFile;
using rocksdb::FSReadRequest;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

enum class Kind : uint8_t { kStaged, kTable, kManifest, kLog, kOther };

Kind KindOf(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  if (name.ends_with(".sst")) {
    return path.find("/staging/") != path.npos ? Kind::kStaged : Kind::kTable;
  }
  if (name.starts_with("MANIFEST-")) return Kind::kManifest;
  return name.ends_with(".log") ? Kind::kLog : Kind::kOther;
}

IOStatus Broken(std::string_view what, std::string_view path) {
  return IOStatus::IOError(std::string(what), std::string(path) + ": EIO, as the test says");
}

// As RocksDB's own file system has it.
IOStatus Full(std::string_view path) {
  IOStatus status = IOStatus::NoSpace("write", std::string(path) + ": as the test says");
  status.SetRetryable(true);
  return status;
}

// What an operation on a disk with faults comes to before it is done.
IOStatus BeforeWrite(const Faults& faults, std::string_view path) {
  faults.Outlast(Fault::kWriteStall);
  if (faults.IsOn(Fault::kNoSpace)) return Full(path);
  return faults.IsOn(Fault::kWriteError) ? Broken("write", path) : IOStatus::OK();
}

IOStatus BeforeRead(const Faults& faults, std::string_view path) {
  faults.Outlast(Fault::kReadStall);
  return faults.IsOn(Fault::kReadError) ? Broken("read", path) : IOStatus::OK();
}

class FaultyWritableFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultyWritableFile(std::unique_ptr<FSWritableFile>&& file, std::string path,
                     Faults* faults)
      : FSWritableFileOwnerWrapper(std::move(file)),
        path_(std::move(path)),
        kind_(KindOf(path_)),
        faults_(faults) {}

  IOStatus Append(const Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    const IOStatus before = BeforeWrite(*faults_, path_);
    if (!before.ok()) return before;
    const IOStatus done = target()->Append(data, options, debug);
    if (kind_ == Kind::kManifest) faults_->Pass(FailPoint::kManifestWritten);
    if (kind_ == Kind::kLog) faults_->Pass(FailPoint::kLogWritten);
    return done;
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            IODebugContext* debug) override {
    const IOStatus before = BeforeWrite(*faults_, path_);
    return before.ok() ? target()->PositionedAppend(data, offset, options, debug) : before;
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            const DataVerificationInfo&, IODebugContext* debug) override {
    return PositionedAppend(data, offset, options, debug);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    const IOStatus before = BeforeSync();
    return before.ok() ? Synced(target()->Sync(options, debug)) : before;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    const IOStatus before = BeforeSync();
    return before.ok() ? Synced(target()->Fsync(options, debug)) : before;
  }

 private:
  IOStatus BeforeSync() const {
    if (kind_ == Kind::kManifest && faults_->IsOn(Fault::kManifestError)) {
      return Broken("sync", path_);
    }
    return BeforeWrite(*faults_, path_);
  }
  IOStatus Synced(IOStatus done) {
    if (kind_ == Kind::kStaged) faults_->Pass(FailPoint::kSegmentWritten);
    if (kind_ == Kind::kManifest) faults_->Pass(FailPoint::kManifestSynced);
    if (kind_ == Kind::kLog) faults_->Pass(FailPoint::kLogSynced);
    return done;
  }

  const std::string path_;
  const Kind kind_;
  Faults* const faults_;
};

class FaultyRandomAccessFile final : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  FaultyRandomAccessFile(std::unique_ptr<FSRandomAccessFile>&& file, std::string path,
                         const Faults* faults)
      : FSRandomAccessFileOwnerWrapper(std::move(file)),
        path_(std::move(path)),
        faults_(faults) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions& options, Slice* result,
                char* scratch, IODebugContext* debug) const override {
    const IOStatus before = BeforeRead(*faults_, path_);
    if (!before.ok()) return before;
    return FSRandomAccessFileOwnerWrapper::Read(offset, n, options, result, scratch, debug);
  }
  IOStatus MultiRead(FSReadRequest* requests, size_t count, const IOOptions& options,
                     IODebugContext* debug) override {
    const IOStatus before = BeforeRead(*faults_, path_);
    if (!before.ok()) return before;
    return FSRandomAccessFileOwnerWrapper::MultiRead(requests, count, options, debug);
  }

 private:
  const std::string path_;
  const Faults* const faults_;
};

class FaultyFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit FaultyFileSystem(Faults* faults)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), faults_(faults) {}

  const char* Name() const override { return "FaultyFileSystem"; }

  IOStatus NewWritableFile(const std::string& name, const FileOptions& options,
                           std::unique_ptr<FSWritableFile>* file,
                           IODebugContext* debug) override {
    const IOStatus before = BeforeWrite(*faults_, name);
    if (!before.ok()) return before;
    const IOStatus made = target()->NewWritableFile(name, options, file, debug);
    if (KindOf(name) == Kind::kStaged) faults_->Pass(FailPoint::kSegmentCreated);
    return Wrapped(made, name, file);
  }
  IOStatus ReopenWritableFile(const std::string& name, const FileOptions& options,
                              std::unique_ptr<FSWritableFile>* file,
                              IODebugContext* debug) override {
    const IOStatus before = BeforeWrite(*faults_, name);
    if (!before.ok()) return before;
    return Wrapped(target()->ReopenWritableFile(name, options, file, debug), name, file);
  }
  IOStatus NewRandomAccessFile(const std::string& name, const FileOptions& options,
                               std::unique_ptr<FSRandomAccessFile>* file,
                               IODebugContext* debug) override {
    const IOStatus made = target()->NewRandomAccessFile(name, options, file, debug);
    if (made.ok() && KindOf(name) == Kind::kTable) {
      *file = std::make_unique<FaultyRandomAccessFile>(std::move(*file), name, faults_);
    }
    return made;
  }
  IOStatus RenameFile(const std::string& from, const std::string& to,
                      const IOOptions& options, IODebugContext* debug) override {
    const IOStatus before = BeforeWrite(*faults_, to);
    return before.ok() ? target()->RenameFile(from, to, options, debug) : before;
  }
  IOStatus LinkFile(const std::string& from, const std::string& to,
                    const IOOptions& options, IODebugContext* debug) override {
    const IOStatus before = BeforeWrite(*faults_, to);
    if (!before.ok()) return before;
    const IOStatus done = target()->LinkFile(from, to, options, debug);
    if (KindOf(to) == Kind::kTable) faults_->Pass(FailPoint::kSegmentLinked);
    return done;
  }
  IOStatus DeleteFile(const std::string& name, const IOOptions& options,
                      IODebugContext* debug) override {
    const IOStatus before = BeforeWrite(*faults_, name);
    if (!before.ok()) return before;
    const IOStatus done = target()->DeleteFile(name, options, debug);
    if (KindOf(name) == Kind::kTable) faults_->Pass(FailPoint::kSegmentDropped);
    return done;
  }

 private:
  IOStatus Wrapped(const IOStatus& made, const std::string& name,
                   std::unique_ptr<FSWritableFile>* file) {
    if (made.ok()) {
      *file = std::make_unique<FaultyWritableFile>(std::move(*file), name, faults_);
    }
    return made;
  }

  Faults* const faults_;
};

}  // namespace

std::unique_ptr<rocksdb::Env> NewFaultyEnv(Faults* faults) {
  return rocksdb::NewCompositeEnv(std::make_shared<FaultyFileSystem>(faults));
}

}  // namespace kvasir
