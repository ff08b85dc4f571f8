#include "service/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace kvasir {
namespace {

using testing::HasSubstr;

// Every number a different one, so that no two can be mixed up unseen.
NodeStats SomeStats(const RequestMetrics* requests) {
  NodeStats stats{.version = "9.9.9", .uptime = std::chrono::milliseconds(1'500)};
  stats.arena = {
      .capacity_bytes = 1000, .allocated_bytes = 300, .largest_free_bytes = 250};
  stats.store.memory.blocks = 7;
  stats.core.pins = 11;
  stats.core.oldest_fence = std::chrono::milliseconds(2'500);
  stats.core.commit_checksum_failures = 13;
  stats.transports = {{TransportKind::kShm, {.lanes = 1, .written_bytes_total = 17}},
                      {TransportKind::kTcp, {.lanes = 2, .read_bytes_total = 19}}};
  stats.rails = {{"nic0", {.bytes_in = 23, .packets_out = 29, .reads = 31, .writes = 37}},
                 {"nic1", {.bytes_in = 41}}};
  stats.requests = requests;
  return stats;
}

TEST(Metrics, NumbersShowUnderTheirNames) {
  const auto values = MetricsValues(CollectMetrics(SomeStats(nullptr)));
  EXPECT_EQ(values.at("memory_free_bytes"), 700);
  EXPECT_EQ(values.at("memory_largest_free_bytes"), 250);
  EXPECT_EQ(values.at("uptime_seconds"), 1.5);
  EXPECT_EQ(values.at("blocks"), 7);
  EXPECT_EQ(values.at("pins"), 11);
  EXPECT_EQ(values.at("oldest_fence_seconds"), 2.5);
  EXPECT_EQ(values.at("commit_checksum_failures_total"), 13);
  EXPECT_EQ(values.at("build_info{version=\"9.9.9\"}"), 1);
}

TEST(Metrics, TransportsAreLabelledInOrderOfLabelNames) {
  const auto values = MetricsValues(CollectMetrics(SomeStats(nullptr)));
  EXPECT_EQ(values.at("transport_lanes{transport=\"shm\"}"), 1);
  EXPECT_EQ(values.at("transport_lanes{transport=\"tcp\"}"), 2);
  EXPECT_EQ(values.at("transport_bytes_total{direction=\"put\",transport=\"shm\"}"), 17);
  EXPECT_EQ(values.at("transport_bytes_total{direction=\"get\",transport=\"tcp\"}"), 19);
}

TEST(Metrics, ARailShowsWhatItsDriverTells) {
  const auto values = MetricsValues(CollectMetrics(SomeStats(nullptr)));
  EXPECT_EQ(values.at("rdma_port_bytes_total{device=\"nic0\",direction=\"in\"}"), 23);
  EXPECT_EQ(values.at("rdma_port_bytes_total{device=\"nic1\",direction=\"in\"}"), 41);
  EXPECT_EQ(values.at("rdma_port_packets_total{device=\"nic0\",direction=\"out\"}"), 29);
  EXPECT_EQ(values.at("rdma_port_requests_total{device=\"nic0\",verb=\"read\"}"), 31);
  EXPECT_EQ(values.at("rdma_port_requests_total{device=\"nic0\",verb=\"write\"}"), 37);
  EXPECT_EQ(values.count("rdma_port_bytes_total{device=\"nic0\",direction=\"out\"}"), 0u);
  EXPECT_EQ(values.count("rdma_port_packets_total{device=\"nic1\",direction=\"out\"}"), 0u);
}

TEST(Metrics, RequestsShowAsHistogramAndByCode) {
  RequestMetrics requests;
  requests.Record(Method::kLookup, std::chrono::microseconds(150), absl::StatusCode::kOk);
  requests.Record(Method::kLookup, std::chrono::seconds(9),
                  absl::StatusCode::kUnavailable);
  const auto families = CollectMetrics(SomeStats(&requests));
  const std::string text = MetricsText(families);
  EXPECT_THAT(
      text,
      HasSubstr("kvasir_request_seconds_bucket{method=\"Lookup\",le=\"0.0001\"} 0"));
  EXPECT_THAT(
      text,
      HasSubstr("kvasir_request_seconds_bucket{method=\"Lookup\",le=\"0.0002\"} 1"));
  EXPECT_THAT(
      text, HasSubstr("kvasir_request_seconds_bucket{method=\"Lookup\",le=\"+Inf\"} 2"));
  EXPECT_THAT(
      text, HasSubstr("kvasir_requests_total{code=\"UNAVAILABLE\",method=\"Lookup\"} 1"));
  EXPECT_EQ(MetricsValues(families).at("request_seconds_count{method=\"Lookup\"}"), 2);
}

// Prometheus refuses a scrape in which a family comes twice.
TEST(Metrics, EveryFamilyComesOnceWithPrefixHelpAndType) {
  RequestMetrics requests;
  std::set<std::string> names;
  for (const prometheus::MetricFamily& family : CollectMetrics(SomeStats(&requests))) {
    EXPECT_TRUE(names.insert(family.name).second) << family.name;
    EXPECT_TRUE(family.name.starts_with("kvasir_")) << family.name;
    EXPECT_FALSE(family.help.empty()) << family.name;
    EXPECT_EQ(family.type == prometheus::MetricType::Counter,
              family.name.ends_with("_total"))
        << family.name;
  }
  EXPECT_GT(names.size(), 40u);
}

TEST(Metrics, NoLabelIsWithoutABound) {
  RequestMetrics requests;
  const std::set<std::string> bounded = {"version", "transport", "direction", "method",
                                         "code",    "device",    "verb"};
  for (const prometheus::MetricFamily& family : CollectMetrics(SomeStats(&requests))) {
    for (const prometheus::ClientMetric& metric : family.metric) {
      for (const auto& label : metric.label) EXPECT_EQ(bounded.count(label.name), 1u);
    }
  }
}

}  // namespace
}  // namespace kvasir
