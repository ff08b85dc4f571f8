#ifndef KVASIR_TESTS_CLIENT_CONNECTOR_CONNECTOR_SUPPORT_H_
#define KVASIR_TESTS_CLIENT_CONNECTOR_CONNECTOR_SUPPORT_H_

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/connector/connector.h"

namespace kvasir {

// An engine's pool that keeps account: what is given out and not taken back is `live`.
// Thread-safe.
class CountingAllocator final : public ObjectAllocator {
 public:
  // With a budget, allocations beyond so many live ones fail.
  explicit CountingAllocator(size_t live_max = SIZE_MAX) : live_max_(live_max) {}

  std::span<std::byte> Allocate(size_t index, uint64_t size_bytes,
                                std::string_view attributes) override {
    absl::MutexLock lock(&mu_);
    ++allocations_;
    attributes_[index] = std::string(attributes);
    if (live_.size() >= live_max_) return {};
    std::vector<std::byte> memory(size_bytes + oversize_);
    const std::span<std::byte> bytes = memory;
    live_.emplace(bytes.data(), std::move(memory));
    return bytes;
  }

  void Release(size_t index, std::span<std::byte> memory) override {
    absl::MutexLock lock(&mu_);
    ++releases_;
    unknown_releases_ += 1 - live_.erase(memory.data());
  }

  // Gives memory that is too long by `bytes`.
  void MisjudgeBy(size_t bytes) { oversize_ = bytes; }

  size_t live() const {
    absl::MutexLock lock(&mu_);
    return live_.size();
  }
  size_t allocations() const {
    absl::MutexLock lock(&mu_);
    return allocations_;
  }
  size_t releases() const {
    absl::MutexLock lock(&mu_);
    return releases_;
  }
  // Releases of memory that was not out: a double free.
  size_t unknown_releases() const {
    absl::MutexLock lock(&mu_);
    return unknown_releases_;
  }
  std::string attributes_of(size_t index) const {
    absl::MutexLock lock(&mu_);
    return attributes_.at(index);
  }

 private:
  const size_t live_max_;
  size_t oversize_ = 0;
  mutable absl::Mutex mu_;
  std::map<std::byte*, std::vector<std::byte>> live_ ABSL_GUARDED_BY(mu_);
  std::map<size_t, std::string> attributes_ ABSL_GUARDED_BY(mu_);
  size_t allocations_ ABSL_GUARDED_BY(mu_) = 0;
  size_t releases_ ABSL_GUARDED_BY(mu_) = 0;
  size_t unknown_releases_ ABSL_GUARDED_BY(mu_) = 0;
};

inline std::string TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A one-piece PutItem that owns its parts.
class OwnedPut {
 public:
  OwnedPut(std::string key, std::string bytes, std::string attributes = "")
      : key_(std::move(key)),
        bytes_(std::move(bytes)),
        attributes_(std::move(attributes)),
        slice_(std::as_bytes(std::span<const char>(bytes_))) {}
  OwnedPut(const OwnedPut&) = delete;
  OwnedPut& operator=(const OwnedPut&) = delete;

  PutItem item() const { return {key_, std::span(&slice_, 1), attributes_}; }

 private:
  const std::string key_, bytes_, attributes_;
  const std::span<const std::byte> slice_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_CLIENT_CONNECTOR_CONNECTOR_SUPPORT_H_
