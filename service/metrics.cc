#include "service/metrics.h"

#include <fmt/core.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <optional>
#include <sstream>
#include <string_view>

namespace kvasir {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr std::string_view kPrefix = "kvasir_";

using Labels = std::vector<ClientMetric::Label>;

// Puts families together one number at a time; numbers of one name must follow each
// other.
class Families {
 public:
  void Gauge(std::string_view name, std::string_view help, double value,
             Labels labels = {}) {
    Add(MetricType::Gauge, name, help, std::move(labels)).gauge.value = value;
  }
  void Counter(std::string_view name, std::string_view help, double value,
               Labels labels = {}) {
    Add(MetricType::Counter, name, help, std::move(labels)).counter.value = value;
  }
  void Histogram(std::string_view name, std::string_view help,
                 const ClientMetric::Histogram& histogram, Labels labels) {
    Add(MetricType::Histogram, name, help, std::move(labels)).histogram = histogram;
  }
  std::vector<MetricFamily> Take() { return std::move(families_); }

 private:
  ClientMetric& Add(MetricType type, std::string_view name, std::string_view help,
                    Labels labels) {
    const std::string full = fmt::format("{}{}", kPrefix, name);
    if (families_.empty() || families_.back().name != full) {
      families_.push_back({full, std::string(help), type, {}});
    }
    std::sort(labels.begin(), labels.end());
    ClientMetric& metric = families_.back().metric.emplace_back();
    metric.label = std::move(labels);
    return metric;
  }

  std::vector<MetricFamily> families_;
};

double Seconds(std::chrono::nanoseconds value) {
  return std::chrono::duration<double>(value).count();
}

void AddNode(const NodeStats& stats, Families* to) {
  to->Gauge("build_info", "Always 1; the version is the label.", 1,
            {{"version", stats.version}});
  to->Gauge("uptime_seconds", "Since the node began to listen.", Seconds(stats.uptime));
  to->Gauge("draining", "1 while the node takes no new grants.", stats.draining ? 1 : 0);
  to->Gauge("process_resident_bytes", "Resident memory of the process, arena included.",
            stats.resident_bytes);
}

void AddMemory(const NodeStats& stats, Families* to) {
  const Arena::Usage& arena = stats.arena;
  const BlockStore::Stats& store = stats.store.memory;
  to->Gauge("memory_capacity_bytes", "Memory for blocks.", arena.capacity_bytes);
  to->Gauge("memory_allocated_bytes", "Of it, allocated, in allocation units.",
            arena.allocated_bytes);
  to->Gauge("memory_free_bytes", "Of it, free.",
            arena.capacity_bytes - arena.allocated_bytes);
  to->Gauge("memory_largest_free_bytes", "The largest block that fits without eviction.",
            arena.largest_free_bytes);
  to->Gauge("blocks", "Committed blocks in the index.", store.blocks);
  to->Gauge("block_bytes", "Memory that they take.", store.block_bytes);
  to->Gauge("reserved_blocks", "Blocks being filled or waiting for a fence.",
            store.reserved_blocks);
  to->Gauge("reserved_bytes", "Memory that they take.", store.reserved_bytes);
  to->Gauge("unbound_blocks", "Blocks out of the index that somebody still holds.",
            store.unbound_blocks);
  to->Gauge("unbound_bytes", "Memory that they take.", store.unbound_bytes);
  to->Gauge("index_bytes", "Memory of the index beyond the keys, estimated.",
            store.index_bytes);
  to->Counter("evicted_blocks_total", "Blocks evicted from memory.",
              store.evicted_blocks_total);
  to->Counter("evicted_bytes_total", "Memory that eviction freed.",
              store.evicted_bytes_total);
}

// Shown without a tier too, so that a dashboard need not know.
void AddTier(const NodeStats& stats, Families* to) {
  const Tier::Stats& tier = stats.store.tier;
  const TierWriter::Stats& writer = stats.store.writer;
  const Promoter::Stats& promoter = stats.store.promoter;
  to->Gauge("tier_state", "0 healthy, 1 slow, 2 read-only, 3 memory only.",
            static_cast<double>(stats.tier_state));
  to->Gauge("tier_capacity_bytes", "The disk tier's budget; 0: none.",
            tier.capacity_bytes);
  to->Gauge("tier_used_bytes", "Of it, on disk.", tier.used_bytes);
  to->Gauge("tier_blocks", "Blocks on disk.", tier.blocks);
  to->Gauge("tier_block_bytes", "Their bytes.", tier.block_bytes);
  to->Gauge("tier_index_bytes", "Memory of the tier's catalogue.", tier.index_bytes);
  to->Gauge("tier_queued_blocks", "Blocks on their way to disk.", writer.queued_blocks);
  to->Gauge("tier_queued_bytes", "Their bytes.", writer.queued_bytes);
  to->Gauge("tier_promoting_blocks", "Blocks on their way to memory.",
            promoter.queued_blocks);
  to->Gauge("tier_erasures", "Deletions that wait for the disk.", stats.store.erasures);
  to->Gauge("tier_recovered_blocks", "Blocks found at the start.", tier.recovered_blocks);
  to->Gauge("tier_lost_blocks", "Durable ones that were not there at the start.",
            tier.lost_blocks);
  to->Gauge("tier_set_aside", "Databases that were damaged, and are set aside since.",
            stats.tier_set_aside);
  to->Counter("tier_dropped_blocks_total", "Dropped from disk to keep the budget.",
              tier.dropped_blocks);
  to->Counter("tier_corrupt_blocks_total", "Dropped because their bytes were damaged.",
              tier.corrupt_blocks);
  to->Counter("tier_written_bytes_total", "Written to disk, rewrites included.",
              tier.written_bytes);
  to->Counter("demoted_blocks_total", "Blocks demoted.", writer.demoted_blocks);
  to->Counter("demoted_bytes_total", "Their bytes.", writer.demoted_bytes);
  to->Counter("durable_blocks_total", "Blocks of durable puts stored.",
              writer.durable_blocks);
  to->Counter("durable_bytes_total", "Their bytes.", writer.durable_bytes);
  to->Counter("dropped_demotions_total", "Demotions that found their queue full.",
              writer.dropped_demotions);
  to->Counter("failed_stores_total", "Blocks that the disk did not take.",
              writer.failed_blocks);
  to->Counter("promoted_blocks_total", "Blocks promoted.", promoter.promoted_blocks);
  to->Counter("promoted_bytes_total", "Their bytes.", promoter.promoted_bytes);
  to->Counter("refused_promotions_total", "Promotions that found their queue full.",
              promoter.refused_blocks);
  to->Counter("failed_promotions_total", "Promotions without memory or an answer.",
              promoter.failed_blocks);
  to->Counter("evicted_unsaved_blocks_total", "Evicted before they were on disk.",
              stats.store.memory.evicted_unsaved_blocks_total);
}

void AddLeases(const KvCore::Stats& core, Families* to) {
  to->Gauge("sessions", "Live sessions.", core.sessions);
  to->Gauge("lanes", "Open lanes.", core.lanes);
  to->Gauge("read_leases", "Live leases to read.", core.read_leases);
  to->Gauge("write_leases", "Live leases to write.", core.write_leases);
  to->Gauge("pins", "Live pins.", core.pins);
  to->Gauge("quarantined_blocks", "Expired writes that wait for their fence.",
            core.quarantined_blocks);
  to->Gauge("quarantined_bytes", "Memory that they hold.", core.quarantined_bytes);
  to->Gauge("oldest_fence_seconds", "Age of the oldest fence that has not returned.",
            Seconds(core.oldest_fence));
  to->Counter("expired_reads_total", "Leases to read that ran out.", core.expired_reads);
  to->Counter("expired_writes_total", "Leases to write that ran out.",
              core.expired_writes);
  to->Counter("expired_pins_total", "Pins that ran out.", core.expired_pins);
  to->Counter("expired_sessions_total", "Sessions ended for silence.",
              core.expired_sessions);
  to->Counter("fences_total", "Fences asked of transports.", core.fences);
}

void AddTraffic(const KvCore::Stats& core, Families* to) {
  to->Counter("lookups_total", "Lookup calls.", core.lookups);
  to->Counter("lookup_keys_total", "Keys looked up.", core.lookup_keys);
  to->Counter("lookup_hits_total", "Of them, stored.", core.lookup_hits);
  to->Counter("read_grants_total", "Blocks granted to read.", core.read_grants);
  to->Counter("read_misses_total", "Keys asked to read and not stored.",
              core.read_misses);
  to->Counter("write_grants_total", "Blocks granted to write.", core.write_grants);
  to->Counter("write_exists_total", "Puts of keys that were stored already.",
              core.write_exists);
  to->Counter("write_in_progress_total", "Puts of keys that another client was filling.",
              core.write_in_progress);
  to->Counter("write_refused_total", "Puts refused for want of memory.",
              core.write_refused);
  to->Counter("commits_total", "Blocks made visible.", core.commits);
  to->Counter("commit_failures_total", "Commits refused, for whatever reason.",
              core.commit_failures);
  to->Counter("commit_checksum_failures_total",
              "Of them, because the bytes did not match their checksum.",
              core.commit_checksum_failures);
  to->Counter("aborts_total", "Grants to write given up by their client.", core.aborts);
  to->Counter("removes_total", "Keys removed.", core.removes);
  to->Counter("refused_requests_total", "Requests refused as a whole.",
              core.refused_requests);
}

void AddTransports(const NodeStats& stats, Families* to) {
  const auto each = [&stats](auto add) {
    for (const auto& [kind, transport] : stats.transports) {
      add(std::string(TransportName(kind)), transport);
    }
  };
  each([to](const std::string& name, const TransportStats& transport) {
    to->Gauge("transport_lanes", "Open lanes by transport.", transport.lanes,
              {{"transport", name}});
  });
  each([to](const std::string& name, const TransportStats& transport) {
    constexpr std::string_view kHelp =
        "Bytes of blocks that the server moved, or granted where the client moves them.";
    to->Counter("transport_bytes_total", kHelp, transport.read_bytes_total,
                {{"direction", "get"}, {"transport", name}});
    to->Counter("transport_bytes_total", kHelp, transport.written_bytes_total,
                {{"direction", "put"}, {"transport", name}});
  });
  each([to](const std::string& name, const TransportStats& transport) {
    constexpr std::string_view kHelp =
        "Transfers of blocks, or of parts where a transport moves parts, likewise.";
    to->Counter("transport_transfers_total", kHelp, transport.read_ops_total,
                {{"direction", "get"}, {"transport", name}});
    to->Counter("transport_transfers_total", kHelp, transport.written_ops_total,
                {{"direction", "put"}, {"transport", name}});
  });
  each([to](const std::string& name, const TransportStats& transport) {
    to->Counter("transport_refused_frames_total",
                "Frames refused: a bad token, range or form.",
                transport.refused_frames_total, {{"transport", name}});
  });
  each([to](const std::string& name, const TransportStats& transport) {
    to->Counter("transport_messages_total",
                "Requests that came with the blocks' bytes and not over gRPC.",
                transport.messages_total, {{"transport", name}});
  });
}

void AddRails(const NodeStats& stats, Families* to) {
  const auto each = [&stats, to](std::string_view name, std::string_view help,
                                 std::string_view label, auto values) {
    for (const auto& [device, counters] : stats.rails) {
      for (const auto& [value, what] : values(counters)) {
        if (!value.has_value()) continue;
        to->Counter(name, help, static_cast<double>(*value),
                    {{"device", device}, {std::string(label), what}});
      }
    }
  };
  using Values = std::array<std::pair<std::optional<uint64_t>, const char*>, 2>;
  each("rdma_port_bytes_total", "Bytes that an RDMA port has moved, for all its users.",
       "direction", [](const VerbsPortCounters& counters) {
         return Values{{{counters.bytes_in, "in"}, {counters.bytes_out, "out"}}};
       });
  each("rdma_port_packets_total", "Packets likewise.", "direction",
       [](const VerbsPortCounters& counters) {
         return Values{{{counters.packets_in, "in"}, {counters.packets_out, "out"}}};
       });
  each("rdma_port_requests_total", "Requests of peers that an RDMA port has served.", "verb",
       [](const VerbsPortCounters& counters) {
         return Values{{{counters.reads, "read"}, {counters.writes, "write"}}};
       });
}

ClientMetric::Histogram ToHistogram(const RequestMetrics::Snapshot& snapshot) {
  ClientMetric::Histogram histogram;
  histogram.sample_count = snapshot.count;
  histogram.sample_sum = Seconds(snapshot.sum);
  uint64_t cumulative = 0;
  for (size_t i = 0; i < RequestMetrics::kBounds.size(); ++i) {
    cumulative += snapshot.buckets[i];
    histogram.bucket.push_back({cumulative, Seconds(RequestMetrics::kBounds[i])});
  }
  return histogram;
}

void AddRequests(const RequestMetrics& requests, Families* to) {
  for (size_t i = 0; i < kMethods; ++i) {
    const auto method = static_cast<Method>(i);
    to->Histogram("request_seconds", "Time to answer a request, by method.",
                  ToHistogram(requests.Read(method)),
                  {{"method", std::string(MethodName(method))}});
  }
  for (size_t i = 0; i < kMethods; ++i) {
    const auto method = static_cast<Method>(i);
    const RequestMetrics::Snapshot snapshot = requests.Read(method);
    for (size_t code = 0; code < snapshot.codes.size(); ++code) {
      if (snapshot.codes[code] == 0 && code != 0) continue;
      to->Counter(
          "requests_total", "Requests by method and google.rpc.Code.",
          snapshot.codes[code],
          {{"method", std::string(MethodName(method))},
           {"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(code))}});
    }
  }
}

std::string LabelText(const Labels& labels) {
  if (labels.empty()) return "";
  std::string text;
  for (const ClientMetric::Label& label : labels) {
    text += fmt::format("{}{}=\"{}\"", text.empty() ? "{" : ",", label.name, label.value);
  }
  return text + "}";
}

}  // namespace

std::vector<MetricFamily> CollectMetrics(const NodeStats& stats) {
  Families families;
  AddNode(stats, &families);
  AddMemory(stats, &families);
  AddTier(stats, &families);
  AddLeases(stats.core, &families);
  AddTraffic(stats.core, &families);
  AddTransports(stats, &families);
  AddRails(stats, &families);
  if (stats.requests != nullptr) AddRequests(*stats.requests, &families);
  return families.Take();
}

std::string MetricsText(const std::vector<MetricFamily>& families) {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return out.str();
}

std::map<std::string, double> MetricsValues(const std::vector<MetricFamily>& families) {
  std::map<std::string, double> values;
  for (const MetricFamily& family : families) {
    const std::string name = family.name.substr(kPrefix.size());
    for (const ClientMetric& metric : family.metric) {
      const std::string labels = LabelText(metric.label);
      switch (family.type) {
        case MetricType::Counter:
          values[name + labels] = metric.counter.value;
          break;
        case MetricType::Histogram:
          values[name + "_count" + labels] =
              static_cast<double>(metric.histogram.sample_count);
          values[name + "_sum" + labels] = metric.histogram.sample_sum;
          break;
        default:
          values[name + labels] = metric.gauge.value;
      }
    }
  }
  return values;
}

}  // namespace kvasir
