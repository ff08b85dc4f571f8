#include "tests/simulation/disk.h"

#include "base/bytes.h"

namespace kvasir::sim {
namespace {

constexpr size_t kAll = 1'000;  // more keys than a world has

absl::Status Dead() { return absl::UnavailableError("disk: the process is gone"); }

}  // namespace

Disk::Disk(const World& world)
    : world_(world), below_(world.weather->disk_bytes), executor_(this) {}

bool Disk::Threads::Submit(absl::AnyInvocable<void() &&> task) {
  Disk* const disk = disk_;
  const World& world = disk->world_;
  if (!disk->up_ || disk->Strikes(world.weather->disk_busy)) return false;
  const uint64_t boot = disk->boot_;
  world.scheduler->After(
      world.dice->Between(BootClock::duration(0), BootClock::duration(100'000)),
      [disk, boot, task = std::move(task)]() mutable {
        if (boot != disk->boot_) return;
        disk->world_.scheduler->Spawn(
            disk->world_.server, [disk, boot, task = std::move(task)]() mutable {
              if (boot == disk->boot_) std::move(task)();
            });
      });
  return true;
}

bool Disk::Strikes(uint64_t per_million) const {
  return !calm_ && world_.dice->Chance(per_million);
}

bool Disk::Wait() {
  const uint64_t boot = boot_;
  world_.scheduler->Sleep(calm_ ? BootClock::duration(1'000)
                                : world_.weather->DiskDelay(world_.dice));
  if (boot == boot_) return true;
  ++counters_.cut_off;
  return false;
}

absl::Status Disk::Meet(std::string_view verb, uint64_t fails) {
  if (!Wait()) return Dead();
  if (!Strikes(fails)) return absl::OkStatus();
  ++counters_.failures;
  world_.trace->Say("disk: a {} fails", verb);
  if (world_.dice->Chance(500'000)) return absl::ResourceExhaustedError("disk: ENOSPC");
  return absl::UnavailableError("disk: EIO");
}

void Disk::Die() {
  up_ = false;
  ++boot_;
  world_.scheduler->RunOut(world_.server);
}

void Disk::Recover(Durability survives) {
  below_.Crash({.survives = survives, .seed = world_.dice->Next()});
  up_ = true;
  std::map<std::string, uint64_t> found;
  for (const Listed& one : below_.List("", "", kAll)) {
    found[one.key] = VersionOf(one.key, one.block.generation);
    world_.trace->Say("disk: {} generation {}, version {}, is recovered",
                      PrintableKey(one.key, 16),
                      one.block.generation, found[one.key]);
  }
  world_.oracle->OnRecovered(found);
}

uint64_t Disk::VersionOf(std::string_view key, uint64_t generation) const {
  const auto it = versions_.find({std::string(key), generation});
  return it == versions_.end() ? 0 : it->second;
}

void Disk::TellDropped(std::span<const Listed> before) {
  for (const Listed& one : before) {
    if (below_.Find(one.key).has_value()) continue;
    world_.trace->Say("disk: {} is dropped", PrintableKey(one.key, 16));
    world_.oracle->OnDropped(one.key, VersionOf(one.key, one.block.generation));
  }
}

absl::Status Disk::Store(std::span<const Record> batch, Durability durability) {
  if (!up_) return Dead();
  absl::Status status = Meet("store", world_.weather->store_fails);
  if (!status.ok()) return status;
  const std::vector<Listed> before = below_.List("", "", kAll);
  for (const Record& record : batch) {
    versions_[{std::string(record.key), record.generation}] =
        world_.oracle->OnStores(record.key, record.payload);
  }
  status = below_.Store(batch, durability);
  for (const Record& record : batch) {
    ++counters_.stores;
    world_.trace->Say("disk: stores {} generation {}, version {}: {}",
                      PrintableKey(record.key, 16), record.generation,
                      VersionOf(record.key, record.generation),
                      static_cast<int>(status.code()));
  }
  TellDropped(before);
  return Wait() ? status : Dead();
}

void Disk::Load(std::span<Read> batch) {
  for (Read& read : batch) read.status = Dead();
  if (!up_) return;
  std::vector<size_t> copies;
  for (const Read& read : batch) {
    const uint64_t version = VersionOf(read.key, read.generation);
    copies.push_back(world_.oracle->OnCopyBegins(read.key, version, read.payload));
  }
  const absl::Status status = Meet("load", world_.weather->load_fails);
  if (absl::IsResourceExhausted(status)) {  // Not of a disk that is read.
    for (Read& read : batch) read.status = absl::UnavailableError("disk: EIO");
  } else if (!status.ok()) {
    for (Read& read : batch) read.status = status;
  } else {
    const std::vector<Listed> before = below_.List("", "", kAll);
    for (size_t i = 0; i < batch.size(); ++i) {
      if (Strikes(world_.weather->bit_flips)) below_.FlipBit(batch[i].key);
      world_.oracle->OnCopyLands(copies[i]);
    }
    below_.Load(batch);
    counters_.loads += batch.size();
    TellDropped(before);
  }
  if (Wait()) return;
  for (Read& read : batch) read.status = Dead();
}

absl::Status Disk::Delete(std::span<const Tombstone> batch) {
  if (!up_) return Dead();
  absl::Status status = Meet("delete", world_.weather->delete_fails);
  if (!status.ok()) return status;
  counters_.deletes += batch.size();
  status = below_.Delete(batch);
  for (const Tombstone& tombstone : batch) {
    world_.trace->Say("disk: deletes {} up to generation {}", PrintableKey(tombstone.key, 16),
                      tombstone.generation);
  }
  return Wait() ? status : Dead();
}

}  // namespace kvasir::sim
