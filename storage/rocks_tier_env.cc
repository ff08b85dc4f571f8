#include "storage/rocks_tier_env.h"

#include <rocksdb/file_system.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/limits.h"
#include "storage/io_buffers.h"

namespace kvasir {
namespace {

using rocksdb::FileOptions;
using rocksdb::FSRandomAccessFile;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

IOStatus NoBuffer(const absl::Status& status) {
  return IOStatus::IOError(std::string(ToStd(status.message())));
}

// Reads whole pages of a direct file, and hands on what of them was asked for.
class ReadFile final : public FSRandomAccessFile {
 public:
  ReadFile(std::unique_ptr<FSRandomAccessFile> file, IoBuffers* buffers)
      : file_(std::move(file)),
        page_bytes_(std::max<size_t>(file_->GetRequiredBufferAlignment(), 4 * kKiB)),
        buffers_(buffers) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions& options, Slice* result,
                char* scratch, IODebugContext* debug) const override {
    *result = Slice(scratch, 0);
    absl::StatusOr<IoBuffers::Buffer> buffer = buffers_->Take();
    if (!buffer.ok()) return NoBuffer(buffer.status());
    char* const memory = reinterpret_cast<char*>(buffer->bytes().data());
    size_t done = 0;
    while (done < n) {
      const size_t before = (offset + done) % page_bytes_;
      const size_t pages = (before + (n - done) + page_bytes_ - 1) / page_bytes_;
      const size_t wanted = std::min(pages * page_bytes_, kTierBufferBytes);
      Slice got;
      const IOStatus read =
          file_->Read(offset + done - before, wanted, options, &got, memory, debug);
      if (!read.ok()) return read;
      const size_t useful = std::min(got.size() - std::min(got.size(), before), n - done);
      std::memcpy(scratch + done, got.data() + before, useful);
      done += useful;
      if (got.size() < wanted) break;  // The end of the file.
    }
    *result = Slice(scratch, done);
    return IOStatus::OK();
  }
  size_t GetUniqueId(char* id, size_t max_size) const override {
    return file_->GetUniqueId(id, max_size);
  }

 private:
  const std::unique_ptr<FSRandomAccessFile> file_;
  const size_t page_bytes_;
  IoBuffers* const buffers_;
};

// What is appended comes in whole pages already.
class WriteFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  WriteFile(std::unique_ptr<FSWritableFile> file, IoBuffers* buffers)
      : FSWritableFileOwnerWrapper(std::move(file)), buffers_(buffers) {}

  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            IODebugContext* debug) override {
    absl::StatusOr<IoBuffers::Buffer> buffer = buffers_->Take();
    if (!buffer.ok()) return NoBuffer(buffer.status());
    char* const memory = reinterpret_cast<char*>(buffer->bytes().data());
    for (size_t done = 0; done < data.size();) {
      const Slice part(memory, std::min(data.size() - done, kTierBufferBytes));
      std::memcpy(memory, data.data() + done, part.size());
      const IOStatus wrote = target()->PositionedAppend(part, offset + done, options, debug);
      if (!wrote.ok()) return wrote;
      done += part.size();
    }
    return IOStatus::OK();
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo&,
                            IODebugContext* debug) override {
    return PositionedAppend(data, offset, options, debug);
  }

 private:
  IoBuffers* const buffers_;
};

class HugePageFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;

  const char* Name() const override { return "HugePageFileSystem"; }

  IOStatus NewRandomAccessFile(const std::string& name, const FileOptions& options,
                               std::unique_ptr<FSRandomAccessFile>* file,
                               IODebugContext* debug) override {
    const IOStatus made = target()->NewRandomAccessFile(name, options, file, debug);
    if (made.ok() && (*file)->use_direct_io()) {
      *file = std::make_unique<ReadFile>(std::move(*file), &buffers_);
    }
    return made;
  }
  IOStatus NewWritableFile(const std::string& name, const FileOptions& options,
                           std::unique_ptr<FSWritableFile>* file,
                           IODebugContext* debug) override {
    const IOStatus made = target()->NewWritableFile(name, options, file, debug);
    if (made.ok() && (*file)->use_direct_io()) {
      *file = std::make_unique<WriteFile>(std::move(*file), &buffers_);
    }
    return made;
  }

 private:
  IoBuffers buffers_;
};

}  // namespace

std::unique_ptr<rocksdb::Env> NewHugePageEnv(rocksdb::Env* base) {
  return rocksdb::NewCompositeEnv(
      std::make_shared<HugePageFileSystem>(base->GetFileSystem()));
}

}  // namespace kvasir
