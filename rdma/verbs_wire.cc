#include "rdma/verbs_wire.h"

#include <fmt/core.h>

#include <algorithm>
#include <concepts>
#include <cstring>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "rdma/little_endian.h"

namespace kvasir {
namespace {

constexpr std::string_view kHelloMagic = "KVH1";
constexpr std::string_view kOfferMagic = "KVO2";
constexpr uint32_t kNumberMax = (1u << 24) - 1;  // of a queue pair or a packet
constexpr uint32_t kReadsMax = 255;
constexpr uint64_t kChunkUnitBytes = kGiB;

constexpr size_t kRailBytes = 16 + 2 + 2 + 2 + 4 * 4;
constexpr size_t kRegionBytes = 4 + 3 * 8;
constexpr size_t kOfferBytesMax =
    4 + 3 + 16 + 8 + kVerbsRailsMax * kRailBytes +
    kVerbsRegionsMax * (kRegionBytes + kVerbsRailsMax * kVerbsChunksMax * 8);
static_assert(kOfferBytesMax <= kMaxEndpointBytes);

class Writer {
 public:
  explicit Writer(std::string_view magic) : bytes_(magic) {}

  template <std::unsigned_integral T>
  void Put(T value) {
    std::array<std::byte, sizeof(T)> raw;
    StoreLittleEndian(raw.data(), value);
    bytes_.append(reinterpret_cast<const char*>(raw.data()), raw.size());
  }
  void PutBytes(std::string_view bytes) { bytes_.append(bytes); }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads beyond the end give zeros and make it not good().
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}

  template <std::unsigned_integral T>
  T Get() {
    std::array<std::byte, sizeof(T)> raw{};
    GetBytes(raw);
    return LoadLittleEndian<T>(raw.data());
  }
  void GetBytes(std::span<std::byte> to) {
    good_ = good_ && left_.size() >= to.size();
    if (!good_) return;
    std::memcpy(to.data(), left_.data(), to.size());
    left_.remove_prefix(to.size());
  }
  // Everything was there, and nothing is left.
  bool done() const { return good_ && left_.empty(); }

 private:
  std::string_view left_;
  bool good_ = true;
};

absl::Status NotOne(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("open rdma lane: this is no {}", what));
}

void PutRails(const std::vector<VerbsRail>& rails, Writer* to) {
  KV_CHECK(!rails.empty() && rails.size() <= kVerbsRailsMax);
  to->Put(static_cast<uint8_t>(rails.size()));
  for (const VerbsRail& rail : rails) {
    to->PutBytes({reinterpret_cast<const char*>(rail.gid.data()), rail.gid.size()});
    to->Put(rail.lid);
    to->Put(static_cast<uint16_t>(rail.mtu_bytes));
    to->Put(static_cast<uint16_t>(rail.reads_max));
    for (const uint32_t number :
         {rail.read_qp, rail.write_qp, rail.read_psn, rail.write_psn}) {
      to->Put(number);
    }
  }
}

bool Plausible(const VerbsRail& rail) {
  const bool is_power = (rail.mtu_bytes & (rail.mtu_bytes - 1)) == 0;
  return is_power && rail.mtu_bytes >= 256 && rail.mtu_bytes <= 4096 &&
         rail.reads_max >= 1 && rail.reads_max <= kReadsMax && rail.read_qp <= kNumberMax &&
         rail.write_qp <= kNumberMax && rail.read_psn <= kNumberMax &&
         rail.write_psn <= kNumberMax;
}

// False if there are none, too many, or one that cannot be.
bool GetRails(Reader* from, std::vector<VerbsRail>* rails) {
  const size_t count = from->Get<uint8_t>();
  if (count == 0 || count > kVerbsRailsMax) return false;
  for (size_t i = 0; i < count; ++i) {
    VerbsRail& rail = rails->emplace_back();
    from->GetBytes(rail.gid);
    rail.lid = from->Get<uint16_t>();
    rail.mtu_bytes = from->Get<uint16_t>();
    rail.reads_max = from->Get<uint16_t>();
    rail.read_qp = from->Get<uint32_t>();
    rail.write_qp = from->Get<uint32_t>();
    rail.read_psn = from->Get<uint32_t>();
    rail.write_psn = from->Get<uint32_t>();
    if (!Plausible(rail)) return false;
  }
  return true;
}

void PutRegion(const VerbsRegion& region, size_t rails, Writer* to) {
  KV_CHECK(region.keys.size() == rails * region.chunks());
  to->Put(static_cast<uint32_t>(region.id));
  to->Put(region.address);
  to->Put(region.size_bytes);
  to->Put(region.chunk_bytes);
  for (const VerbsKeys& keys : region.keys) {
    to->Put(keys.read);
    to->Put(keys.write);
  }
}

bool GetRegion(Reader* from, size_t rails, VerbsRegion* region) {
  region->id = RegionId{from->Get<uint32_t>()};
  region->address = from->Get<uint64_t>();
  region->size_bytes = from->Get<uint64_t>();
  region->chunk_bytes = from->Get<uint64_t>();
  if (region->chunk_bytes == 0 || region->size_bytes == 0 ||
      region->address > UINT64_MAX - region->size_bytes ||
      (region->size_bytes - 1) / region->chunk_bytes >= kVerbsChunksMax) {
    return false;
  }
  for (size_t i = 0; i < rails * region->chunks(); ++i) {
    VerbsKeys& keys = region->keys.emplace_back();
    keys.read = from->Get<uint32_t>();
    keys.write = from->Get<uint32_t>();
  }
  return true;
}

}  // namespace

std::string EncodeVerbsHello(const VerbsHello& hello) {
  Writer writer(kHelloMagic);
  PutRails(hello.rails, &writer);
  return writer.Take();
}

absl::StatusOr<VerbsHello> DecodeVerbsHello(std::string_view bytes) {
  if (!bytes.starts_with(kHelloMagic)) return NotOne("hello");
  Reader reader(bytes.substr(kHelloMagic.size()));
  VerbsHello hello;
  if (!GetRails(&reader, &hello.rails) || !reader.done()) return NotOne("hello");
  return hello;
}

std::string EncodeVerbsOffer(const VerbsOffer& offer) {
  KV_CHECK(offer.regions.size() <= kVerbsRegionsMax);
  Writer writer(kOfferMagic);
  writer.PutBytes(offer.session.ToBytes());
  writer.Put(static_cast<uint64_t>(offer.lane));
  writer.Put(static_cast<uint8_t>(offer.takes_messages ? 1 : 0));
  PutRails(offer.rails, &writer);
  writer.Put(static_cast<uint8_t>(offer.regions.size()));
  for (const VerbsRegion& region : offer.regions) {
    PutRegion(region, offer.rails.size(), &writer);
  }
  return writer.Take();
}

absl::StatusOr<VerbsOffer> DecodeVerbsOffer(std::string_view bytes) {
  if (!bytes.starts_with(kOfferMagic)) return NotOne("offer");
  Reader reader(bytes.substr(kOfferMagic.size()));
  VerbsOffer offer;
  std::array<char, 16> session{};
  reader.GetBytes(std::as_writable_bytes(std::span(session)));
  const absl::StatusOr<SessionId> id = SessionId::FromBytes({session.data(), session.size()});
  if (!id.ok()) return id.status();
  offer.session = *id;
  offer.lane = LaneId{reader.Get<uint64_t>()};
  const uint8_t takes_messages = reader.Get<uint8_t>();
  if (takes_messages > 1) return NotOne("offer");
  offer.takes_messages = takes_messages == 1;
  if (!GetRails(&reader, &offer.rails)) return NotOne("offer");
  const size_t regions = reader.Get<uint8_t>();
  if (regions > kVerbsRegionsMax) return NotOne("offer");
  for (size_t i = 0; i < regions; ++i) {
    if (!GetRegion(&reader, offer.rails.size(), &offer.regions.emplace_back())) {
      return NotOne("offer");
    }
  }
  if (!reader.done()) return NotOne("offer");
  return offer;
}

absl::StatusOr<VerbsPlace> FindVerbsPlace(const std::vector<VerbsRegion>& regions,
                                          RegionId region, uint64_t offset_bytes) {
  for (size_t i = 0; i < regions.size(); ++i) {
    const VerbsRegion& one = regions[i];
    if (one.id != region || offset_bytes >= one.size_bytes) continue;
    const uint64_t chunk = offset_bytes / one.chunk_bytes;
    return VerbsPlace{.address = one.address + offset_bytes,
                      .region = i,
                      .chunk = static_cast<size_t>(chunk),
                      .bytes_in_chunk = std::min(
                          one.chunk_bytes - offset_bytes % one.chunk_bytes,
                          one.size_bytes - offset_bytes)};
  }
  return absl::PermissionDeniedError(
      fmt::format("move: byte {} of region {} was not offered", offset_bytes,
                  static_cast<uint32_t>(region)));
}

uint64_t VerbsChunkBytes(uint64_t region_bytes) {
  const uint64_t unit = kVerbsChunksMax * kChunkUnitBytes;
  return std::max<uint64_t>((region_bytes + unit - 1) / unit, 1) * kChunkUnitBytes;
}

}  // namespace kvasir
