#include "client/cli/replay/report.h"

#include <fmt/core.h>

#include <chrono>
#include <cmath>

#include "base/bytes.h"
#include "client/cli/arguments.h"

namespace kvasir {
namespace {

// Three digits after the point for people and programs alike: more would be noise.
double Rounded(double value) { return std::round(value * 1000) / 1000; }

double Seconds(std::chrono::nanoseconds duration) {
  return static_cast<double>(duration.count()) / 1e9;
}

std::string Triple(const LatencyHistogram& histogram) {
  const Percentiles p = histogram.percentiles();
  return fmt::format("p50 {:.1f} us, p95 {:.1f} us, p99 {:.1f} us", p.p50_us, p.p95_us,
                     p.p99_us);
}

}  // namespace

Json ReplayJson(const ReplayReport& report, const ReplayOptions& options,
                const ReplaySetting& setting) {
  const ReplayCounts& counts = report.counts;
  return {
      {"trace", setting.trace},
      {"server", setting.server},
      {"transport", setting.transport},
      {"block_bytes", options.block_bytes},
      {"concurrency", options.concurrency},
      {"durable", setting.durable},
      {"requests", counts.requests},
      {"blocks_looked_up", counts.looked_up},
      {"hits", counts.hits},
      {"hits_memory", report.hits_memory()},
      {"hits_disk", counts.hits_disk},
      {"misses", report.misses()},
      {"hit_ratio", Rounded(report.hit_ratio())},
      {"ideal_hit_ratio", Rounded(report.ideal_hit_ratio())},
      {"blocks_lost", counts.lost},
      {"blocks_put", counts.put},
      {"puts_present", counts.puts_present},
      {"puts_refused", counts.puts_refused},
      {"put_failures", counts.put_failures},
      {"bytes_put", counts.bytes_put},
      {"bytes_got", counts.bytes_got},
      {"bytes_verified", counts.bytes_verified},
      {"mismatches", counts.mismatches},
      {"prefill_tokens", counts.prefill_tokens},
      {"prefill_tokens_saved", counts.prefill_tokens_saved},
      {"seconds", Rounded(Seconds(report.elapsed))},
      {"get_gb_per_s", Rounded(GigabytesPerSecond(counts.bytes_got, report.get_busy))},
      {"put_gb_per_s", Rounded(GigabytesPerSecond(counts.bytes_put, report.put_busy))},
      {"lookup_us", ToJson(report.lookup.percentiles())},
      {"get_us", ToJson(report.get.percentiles())},
      {"put_us", ToJson(report.put.percentiles())}};
}

std::string ReplayText(const ReplayReport& report, const ReplayOptions& options,
                       const ReplaySetting& setting) {
  const ReplayCounts& counts = report.counts;
  Properties text;
  text.Add("trace", setting.trace);
  text.Add("node", fmt::format("{} over {}", setting.server, setting.transport));
  text.Add("requests", fmt::format("{} in {}, {} at a time", counts.requests,
                                   FormatDuration(report.elapsed), options.concurrency));
  text.Add("blocks",
           fmt::format("{} of {} looked up, {} hits, {} misses", counts.looked_up,
                       FormatSize(options.block_bytes), counts.hits, report.misses()));
  text.Add("hits", fmt::format("{} from memory, {} from disk", report.hits_memory(),
                               counts.hits_disk));
  text.Add("hit ratio", fmt::format("{:.3f} (a cache without limits: {:.3f})",
                                    report.hit_ratio(), report.ideal_hit_ratio()));
  text.Add("prefill saved", fmt::format("{} of {} tokens", counts.prefill_tokens_saved,
                                        counts.prefill_tokens));
  text.Add("got", fmt::format("{} at {:.2f} GB/s", FormatSize(counts.bytes_got),
                              GigabytesPerSecond(counts.bytes_got, report.get_busy)));
  text.Add("put", fmt::format("{} at {:.2f} GB/s", FormatSize(counts.bytes_put),
                              GigabytesPerSecond(counts.bytes_put, report.put_busy)));
  text.Add("puts",
           fmt::format("{} stored, {} present, {} refused, {} failed", counts.put,
                       counts.puts_present, counts.puts_refused, counts.put_failures));
  text.Add("lookup", Triple(report.lookup));
  text.Add("get", Triple(report.get));
  text.Add("put time", Triple(report.put));
  text.Add("lost", fmt::format("{} blocks went between lookup and get", counts.lost));
  text.Add("verified", fmt::format("{}, {} mismatches", FormatSize(counts.bytes_verified),
                                   counts.mismatches));
  return text.Render();
}

}  // namespace kvasir
