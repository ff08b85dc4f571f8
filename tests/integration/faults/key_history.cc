#include "tests/integration/faults/key_history.h"

#include <fmt/ranges.h>

#include <cstring>

#include "base/checksum.h"
#include "tests/storage/described_bytes.h"

namespace kvasir {
namespace {

constexpr size_t kEventsKept = 12;
constexpr size_t kHeadBytes = sizeof(uint64_t);  // the version

// From 512 bytes on, in no order.
size_t SizeOf(const std::string& key, uint64_t version) {
  const uint64_t mixed = (ChecksumSeed(key) + version) * 0x9e3779b97f4a7c15;
  return 512 + (mixed >> 32) % (KeyHistory::kMaxBytes - 512);
}

}  // namespace

std::vector<std::byte> KeyHistory::BytesOf(uint64_t version) const {
  std::vector<std::byte> bytes(SizeOf(key_, version));
  std::memcpy(bytes.data(), &version, kHeadBytes);
  DescribedBytes(key_, version).Fill(std::span(bytes).subspan(kHeadBytes));
  return bytes;
}

std::optional<uint64_t> KeyHistory::VersionOf(std::span<const std::byte> bytes) const {
  uint64_t version = 0;
  if (bytes.size() < kHeadBytes) return std::nullopt;
  std::memcpy(&version, bytes.data(), kHeadBytes);
  const bool whole = bytes.size() == SizeOf(key_, version) &&
                     DescribedBytes(key_, version).Match(bytes.subspan(kHeadBytes));
  return whole ? std::optional(version) : std::nullopt;
}

void KeyHistory::Note(std::string event) {
  events_.push_back(std::move(event));
  if (events_.size() > kEventsKept) events_.pop_front();
}

std::string KeyHistory::Story() const { return fmt::format("{}", fmt::join(events_, ", ")); }

uint64_t KeyHistory::BeginPut(Durability durability) {
  // One that is not durable may have let go of what it replaces when the server dies. A
  // durable one lets go of it only when it is on disk itself.
  if (durability == Durability::kNone) kept_ = false;
  return ++last_;
}

void KeyHistory::EndPut(const absl::Status& status, Durability durability) {
  Note(fmt::format("put {} ({}): {}", last_.load(), static_cast<int>(durability),
                   status.ToString()));
  // Refused by a server that lives: what it replaces may be gone from the disk.
  if (absl::IsResourceExhausted(status)) kept_ = false;
  if (!status.ok()) return;
  floor_ = last_.load();
  kept_ = durability != Durability::kNone;
}

void KeyHistory::BeginRemoval() { kept_ = false; }

void KeyHistory::EndRemoval(const absl::Status& status) {
  Note(fmt::format("remove: {}", status.ToString()));
  if (status.ok() || absl::IsNotFound(status)) floor_ = last_ + 1;
}

std::string KeyHistory::CheckSeen(std::span<const std::byte> bytes, uint64_t floor) const {
  const std::optional<uint64_t> version = VersionOf(bytes);
  if (!version.has_value()) {
    return fmt::format("{}: {} bytes that nobody has put", key_, bytes.size());
  }
  if (*version >= floor && *version <= last_) return "";
  return fmt::format("{}: version {} is seen, of {} to {}", key_, *version, floor,
                     last_.load());
}

std::string KeyHistory::CheckAfterRestart(
    const std::optional<std::vector<std::byte>>& bytes, bool whole) {
  if (!bytes.has_value()) {
    const bool lost = kept_ && whole;
    const std::string fault =
        fmt::format("{}: version {} or a later one, up to {}, is lost: {}", key_,
                    floor_.load(), last_.load(), Story());
    Note("miss");
    floor_ = last_ + 1;
    kept_ = false;
    return lost ? fault : "";
  }
  const std::string fault = CheckSeen(*bytes, floor_);
  const std::optional<uint64_t> version = VersionOf(*bytes);
  Note(fmt::format("version {} after a restart", version.value_or(0)));
  if (version.has_value()) floor_ = *version;
  kept_ = true;  // It came from there.
  return fault;
}

}  // namespace kvasir
