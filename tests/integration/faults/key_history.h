#ifndef KVASIR_TESTS_INTEGRATION_FAULTS_KEY_HISTORY_H_
#define KVASIR_TESTS_INTEGRATION_FAULTS_KEY_HISTORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/durability.h"

namespace kvasir {

// Versions of one key's block, and which of them may be seen. One thread at a time writes
// the key; versions grow with its puts. Every block says what it is: its size and all of
// its bytes follow from the key and the version.
//
// Threads: one writer; CheckSeen from any.
class KeyHistory {
 public:
  explicit KeyHistory(std::string key) : key_(std::move(key)) {}

  const std::string& key() const { return key_; }
  // The bytes of a version, at most kMaxBytes.
  static constexpr size_t kMaxBytes = 64 << 10;
  std::vector<std::byte> BytesOf(uint64_t version) const;

  // The writer, around its calls. A call that did not end OK may have happened or not.
  uint64_t BeginPut(Durability durability);
  void EndPut(const absl::Status& status, Durability durability);
  void BeginRemoval();
  void EndRemoval(const absl::Status& status);

  // A block that a read brought which began when floor() was `floor`. Empty if that is in
  // order, otherwise what is wrong with it.
  uint64_t floor() const { return floor_.load(); }
  std::string CheckSeen(std::span<const std::byte> bytes, uint64_t floor) const;
  // What a server has after it was killed and started again; nothing: a miss. Empty, or
  // what is wrong. With `whole`, what was on disk once must be there still. To be called
  // by the writer.
  std::string CheckAfterRestart(const std::optional<std::vector<std::byte>>& bytes,
                                bool whole);

 private:
  // Keeps what happened for whoever reads of a fault.
  void Note(std::string event);
  std::string Story() const;
  // Of bytes that are a version's; nothing if they are none's.
  std::optional<uint64_t> VersionOf(std::span<const std::byte> bytes) const;

  const std::string key_;
  // Versions in [floor_, last_] may be seen. Stored by the writer, seq_cst: a reader that
  // loads floor_ before its read has begun must not be shown what ended before.
  std::atomic<uint64_t> floor_{1};
  std::atomic<uint64_t> last_{0};
  // One of them is on disk for good.
  bool kept_ = false;
  std::deque<std::string> events_;  // the writer's, the last few
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_INTEGRATION_FAULTS_KEY_HISTORY_H_
