#ifndef KVASIR_SERVICE_METRICS_H_
#define KVASIR_SERVICE_METRICS_H_

#include <prometheus/metric_family.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "rdma/transport.h"
#include "rdma/verbs_port_counters.h"
#include "service/kv_core.h"
#include "service/request_metrics.h"
#include "storage/arena.h"
#include "storage/tiered_store.h"

namespace kvasir {

// What a node measures, at one moment.
struct NodeStats {
  std::string version;
  std::chrono::milliseconds uptime{};
  bool draining = false;
  uint64_t resident_bytes = 0;  // of the process, arena included
  KvCore::Stats core;
  TieredStore::Stats store;
  TierState tier_state = TierState::kHealthy;
  uint64_t tier_set_aside = 0;  // databases, since the start
  Arena::Usage arena;
  std::vector<std::pair<TransportKind, TransportStats>> transports;
  std::vector<std::pair<std::string, VerbsPortCounters>> rails;  // of rdma, by device
  const RequestMetrics* requests = nullptr;  // Not owned. Null: none.
};

// Everything as Prometheus families: names with the prefix kvasir_ and their unit, no
// labels with keys, sessions or anything else without a bound. docs/operations.md lists
// them.
std::vector<prometheus::MetricFamily> CollectMetrics(const NodeStats& stats);

// The text that /metrics answers with (exposition format 0.0.4).
std::string MetricsText(const std::vector<prometheus::MetricFamily>& families);

// By name without the prefix and with labels in order of their names, as in
// `transport_bytes_total{direction="get",transport="tcp"}`. Of a histogram its count
// and sum.
std::map<std::string, double> MetricsValues(
    const std::vector<prometheus::MetricFamily>& families);

}  // namespace kvasir

#endif  // KVASIR_SERVICE_METRICS_H_
