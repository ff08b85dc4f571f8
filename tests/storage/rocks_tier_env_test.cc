#include "storage/rocks_tier_env.h"

#include <gtest/gtest.h>
#include <rocksdb/file_system.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "storage/io_buffers.h"
#include "tests/storage/tier_files.h"

namespace kvasir {
namespace {

using rocksdb::FileOptions;
using rocksdb::FSRandomAccessFile;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr size_t kPageBytes = 4 * kKiB;

std::string RandomBytes(size_t count) {
  std::mt19937_64 random(count);
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// What reaches the disk.
struct Seen {
  std::atomic<size_t> requests{0};
  std::atomic<size_t> unaligned{0};  // of whatever a direct file needs
  std::atomic<size_t> elsewhere{0};  // memory that does not begin a buffer
  std::atomic<bool> fail{false};

  IOStatus Note(uint64_t offset, size_t size_bytes, const char* memory) {
    const auto address = reinterpret_cast<uintptr_t>(memory);
    ++requests;
    unaligned += offset % kPageBytes != 0 || size_bytes % kPageBytes != 0;
    elsewhere += address % kTierBufferBytes != 0 || size_bytes > kTierBufferBytes;
    return fail ? IOStatus::IOError("told to") : IOStatus::OK();
  }
};

class SeenReads final : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  SeenReads(std::unique_ptr<FSRandomAccessFile> file, Seen* seen)
      : FSRandomAccessFileOwnerWrapper(std::move(file)), seen_(seen) {}
  IOStatus Read(uint64_t offset, size_t n, const IOOptions& options, Slice* result,
                char* scratch, IODebugContext* debug) const override {
    const IOStatus noted = seen_->Note(offset, n, scratch);
    if (!noted.ok()) return noted;
    return FSRandomAccessFileOwnerWrapper::Read(offset, n, options, result, scratch, debug);
  }

 private:
  Seen* const seen_;
};

class SeenWrites final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  SeenWrites(std::unique_ptr<FSWritableFile> file, Seen* seen)
      : FSWritableFileOwnerWrapper(std::move(file)), seen_(seen) {}
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            IODebugContext* debug) override {
    const IOStatus noted = seen_->Note(offset, data.size(), data.data());
    return noted.ok() ? target()->PositionedAppend(data, offset, options, debug) : noted;
  }

 private:
  Seen* const seen_;
};

class SeenFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit SeenFileSystem(Seen* seen)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), seen_(seen) {}
  const char* Name() const override { return "SeenFileSystem"; }
  IOStatus NewRandomAccessFile(const std::string& name, const FileOptions& options,
                               std::unique_ptr<FSRandomAccessFile>* file,
                               IODebugContext* debug) override {
    const IOStatus made = target()->NewRandomAccessFile(name, options, file, debug);
    if (made.ok()) *file = std::make_unique<SeenReads>(std::move(*file), seen_);
    return made;
  }
  IOStatus NewWritableFile(const std::string& name, const FileOptions& options,
                           std::unique_ptr<FSWritableFile>* file,
                           IODebugContext* debug) override {
    const IOStatus made = target()->NewWritableFile(name, options, file, debug);
    if (made.ok()) *file = std::make_unique<SeenWrites>(std::move(*file), seen_);
    return made;
  }

 private:
  Seen* const seen_;
};

class RocksTierEnvTest : public testing::Test {
 protected:
  std::string FileOf(const std::string& bytes) {
    const std::string name = files_.path() + "/file";
    KV_CHECK(rocksdb::WriteStringToFile(rocksdb::Env::Default(), bytes, name).ok());
    return name;
  }
  std::unique_ptr<FSRandomAccessFile> OpenForReads(const std::string& name, bool direct) {
    FileOptions how;
    how.use_direct_reads = direct;
    std::unique_ptr<FSRandomAccessFile> file;
    const IOStatus opened =
        env_->GetFileSystem()->NewRandomAccessFile(name, how, &file, nullptr);
    EXPECT_TRUE(opened.ok()) << opened.ToString();
    return file;
  }
  std::unique_ptr<FSWritableFile> OpenForWrites(const std::string& name) {
    FileOptions how;
    how.use_direct_writes = true;
    std::unique_ptr<FSWritableFile> file;
    const IOStatus opened =
        env_->GetFileSystem()->NewWritableFile(name, how, &file, nullptr);
    EXPECT_TRUE(opened.ok()) << opened.ToString();
    return file;
  }
  static void ExpectReads(const FSRandomAccessFile& file, const std::string& bytes,
                          uint64_t offset, size_t n) {
    std::string scratch(n + 1, '?');
    Slice got;
    const IOStatus read =
        file.Read(offset, n, IOOptions(), &got, scratch.data(), nullptr);
    ASSERT_TRUE(read.ok()) << read.ToString();
    const size_t begin = std::min<size_t>(offset, bytes.size());
    ASSERT_EQ(got, Slice(bytes.data() + begin, std::min(n, bytes.size() - begin)))
        << n << " bytes from " << offset << " of " << bytes.size();
    ASSERT_EQ(scratch.back(), '?');
  }

  const TierFiles files_;
  Seen seen_;
  const std::unique_ptr<rocksdb::Env> disk_ =
      rocksdb::NewCompositeEnv(std::make_shared<SeenFileSystem>(&seen_));
  const std::unique_ptr<rocksdb::Env> env_ = NewHugePageEnv(disk_.get());
};

TEST_F(RocksTierEnvTest, AnyRangeIsReadAsItIs) {
  const std::vector<size_t> sizes = {0,
                                     1,
                                     kPageBytes - 1,
                                     kPageBytes,
                                     kPageBytes + 1,
                                     kTierBufferBytes - 1,
                                     kTierBufferBytes,
                                     kTierBufferBytes + 1,
                                     2 * kTierBufferBytes + 777};
  std::mt19937_64 random(3);
  for (const size_t size : sizes) {
    const std::string bytes = RandomBytes(size);
    const auto file = OpenForReads(FileOf(bytes), /*direct=*/true);
    ASSERT_NE(file, nullptr);
    EXPECT_FALSE(file->use_direct_io());
    ExpectReads(*file, bytes, 0, 0);
    ExpectReads(*file, bytes, 0, size);
    ExpectReads(*file, bytes, 0, size + 3 * kPageBytes);
    ExpectReads(*file, bytes, size, 1);
    ExpectReads(*file, bytes, size + 10 * kPageBytes + 5, 100);
    for (int i = 0; i < 40; ++i) {
      ExpectReads(*file, bytes, random() % (size + 2), random() % (size + kPageBytes));
    }
  }
  EXPECT_GT(seen_.requests, 0u);
  EXPECT_EQ(seen_.unaligned, 0u);
  EXPECT_EQ(seen_.elsewhere, 0u);
}

TEST_F(RocksTierEnvTest, AReadIsOneRequestIfABufferHoldsIt) {
  const std::string bytes = RandomBytes(2 * kTierBufferBytes);
  const auto file = OpenForReads(FileOf(bytes), /*direct=*/true);
  ExpectReads(*file, bytes, 123, 1 * kMiB);
  EXPECT_EQ(seen_.requests, 1u);
  ExpectReads(*file, bytes, 123, kTierBufferBytes);
  EXPECT_EQ(seen_.requests, 3u);
}

TEST_F(RocksTierEnvTest, ThreadsDoNotShareABuffer) {
  const std::string bytes = RandomBytes(kTierBufferBytes);
  const auto file = OpenForReads(FileOf(bytes), /*direct=*/true);
  std::vector<std::thread> readers;
  for (unsigned seed = 0; seed < 2 * kTierBuffersKept; ++seed) {
    readers.emplace_back([&, seed] {
      std::mt19937_64 random(seed);
      for (int i = 0; i < 20; ++i) {
        ExpectReads(*file, bytes, random() % bytes.size(), 64 * kKiB);
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
}

TEST_F(RocksTierEnvTest, WhatIsWrittenIsThere) {
  const std::string name = files_.path() + "/written";
  const std::string bytes = RandomBytes(2 * kTierBufferBytes + 3 * kPageBytes);
  // RocksDB's buffer is aligned to a page.
  std::vector<char> memory(bytes.size() + kPageBytes);
  char* const aligned = memory.data() + kPageBytes -
                        reinterpret_cast<uintptr_t>(memory.data()) % kPageBytes;
  std::memcpy(aligned, bytes.data(), bytes.size());
  const auto file = OpenForWrites(name);
  ASSERT_NE(file, nullptr);
  EXPECT_TRUE(file->use_direct_io());
  ASSERT_TRUE(
      file->PositionedAppend(Slice(aligned, bytes.size()), 0, IOOptions(), nullptr).ok());
  ASSERT_TRUE(file->Close(IOOptions(), nullptr).ok());
  std::string read;
  ASSERT_TRUE(rocksdb::ReadFileToString(rocksdb::Env::Default(), name, &read).ok());
  EXPECT_EQ(read, bytes);
  EXPECT_EQ(seen_.requests, 3u);
  EXPECT_EQ(seen_.unaligned, 0u);
  EXPECT_EQ(seen_.elsewhere, 0u);
}

TEST_F(RocksTierEnvTest, ErrorsOfTheDiskComeThrough) {
  const auto read = OpenForReads(FileOf(RandomBytes(kPageBytes)), /*direct=*/true);
  const auto written = OpenForWrites(files_.path() + "/written");
  seen_.fail = true;
  std::string scratch(kPageBytes, '?');
  Slice got;
  EXPECT_TRUE(
      read->Read(0, kPageBytes, IOOptions(), &got, scratch.data(), nullptr).IsIOError());
  EXPECT_TRUE(got.empty());
  EXPECT_TRUE(written->PositionedAppend(Slice(scratch), 0, IOOptions(), nullptr).IsIOError());
}

TEST_F(RocksTierEnvTest, OtherFilesAreLeftAlone) {
  const std::string bytes = RandomBytes(3 * kPageBytes);
  const auto file = OpenForReads(FileOf(bytes), /*direct=*/false);
  ExpectReads(*file, bytes, 5, kPageBytes - 7);
  EXPECT_EQ(seen_.requests, 1u);
  EXPECT_EQ(seen_.unaligned, 1u);
}

// Takes so many at once; returns how many of them had been marked, and marks all.
size_t TakeMarked(IoBuffers* buffers, size_t count) {
  size_t marked = 0;
  std::vector<IoBuffers::Buffer> held;
  for (size_t i = 0; i < count; ++i) {
    auto buffer = buffers->Take();
    KV_CHECK(buffer.ok());
    EXPECT_EQ(buffer->bytes().size(), kTierBufferBytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->bytes().data()) % kTierBufferBytes, 0u);
    marked += buffer->bytes().front() == std::byte{1};
    buffer->bytes().front() = std::byte{1};
    held.push_back(*std::move(buffer));
  }
  return marked;
}

TEST(IoBuffersTest, BuffersAreUsedAgainUpToTheBound) {
  IoBuffers buffers;
  // What is new comes as zeros.
  EXPECT_EQ(TakeMarked(&buffers, 2), 0u);
  EXPECT_EQ(TakeMarked(&buffers, 3), 2u);
  EXPECT_EQ(TakeMarked(&buffers, kTierBuffersKept + 1), 3u);
  EXPECT_EQ(TakeMarked(&buffers, kTierBuffersKept + 1), kTierBuffersKept);
}

}  // namespace
}  // namespace kvasir
