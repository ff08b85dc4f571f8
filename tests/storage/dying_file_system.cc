#include "tests/storage/dying_file_system.h"

#include <rocksdb/file_system.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <utility>

namespace kvasir {
namespace {

using rocksdb::FileOptions;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

// Counts operations down to the last one.
class Fate {
 public:
  explicit Fate(uint64_t die_at) : left_(die_at) {}
  bool IsNow() { return left_.fetch_sub(1, std::memory_order_relaxed) == 1; }
  static void Die() {
    ::kill(::getpid(), SIGKILL);
    for (;;) ::pause();
  }
  void Step() {
    if (IsNow()) Die();
  }

 private:
  std::atomic<uint64_t> left_;
};

class DyingFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  DyingFile(std::unique_ptr<FSWritableFile>&& file, Fate* fate)
      : FSWritableFileOwnerWrapper(std::move(file)), fate_(fate) {}

  IOStatus Append(const Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    if (fate_->IsNow()) {
      // Direct writes come in whole pages only: then none of it.
      if (!use_direct_io()) {
        target()->Append(Slice(data.data(), data.size() / 2), options, debug)
            .PermitUncheckedError();
      }
      Fate::Die();
    }
    return target()->Append(data, options, debug);
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            IODebugContext* debug) override {
    fate_->Step();
    return target()->PositionedAppend(data, offset, options, debug);
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo&,
                            IODebugContext* debug) override {
    return PositionedAppend(data, offset, options, debug);
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options,
                    IODebugContext* debug) override {
    fate_->Step();
    return target()->Truncate(size, options, debug);
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    fate_->Step();
    return target()->Close(options, debug);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    fate_->Step();
    return target()->Sync(options, debug);
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    fate_->Step();
    return target()->Fsync(options, debug);
  }

 private:
  Fate* const fate_;
};

class DyingFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit DyingFileSystem(uint64_t die_at)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), fate_(die_at) {}

  const char* Name() const override { return "DyingFileSystem"; }

  IOStatus NewWritableFile(const std::string& name, const FileOptions& options,
                           std::unique_ptr<FSWritableFile>* file,
                           IODebugContext* debug) override {
    fate_.Step();
    const IOStatus made = target()->NewWritableFile(name, options, file, debug);
    if (made.ok()) *file = std::make_unique<DyingFile>(std::move(*file), &fate_);
    return made;
  }
  IOStatus RenameFile(const std::string& from, const std::string& to,
                      const IOOptions& options, IODebugContext* debug) override {
    fate_.Step();
    return target()->RenameFile(from, to, options, debug);
  }
  IOStatus LinkFile(const std::string& from, const std::string& to,
                    const IOOptions& options, IODebugContext* debug) override {
    fate_.Step();
    return target()->LinkFile(from, to, options, debug);
  }
  IOStatus DeleteFile(const std::string& name, const IOOptions& options,
                      IODebugContext* debug) override {
    fate_.Step();
    return target()->DeleteFile(name, options, debug);
  }

 private:
  Fate fate_;
};

}  // namespace

std::unique_ptr<rocksdb::Env> NewDyingEnv(uint64_t die_at) {
  return rocksdb::NewCompositeEnv(std::make_shared<DyingFileSystem>(die_at));
}

}  // namespace kvasir
