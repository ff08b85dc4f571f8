#include "tests/bench/measure.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "base/check.h"

namespace kvasir::bench {
namespace {

void Print(std::string_view name, double value, std::string_view bound, double target) {
  std::printf("RATIO %.*s %.3f %.*s %g\n", static_cast<int>(name.size()), name.data(), value,
              static_cast<int>(bound.size()), bound.data(), target);
  std::fflush(stdout);
}

}  // namespace

std::vector<double> InterleavedMedians(std::span<const Side> sides, int rounds) {
  std::vector<std::vector<double>> figures(sides.size());
  for (int round = 0; round <= rounds; ++round) {
    for (size_t i = 0; i < sides.size(); ++i) {
      const double figure = sides[i].run();
      if (round > 0) figures[i].push_back(figure);
    }
  }
  std::vector<double> medians;
  for (std::vector<double>& of_side : figures) medians.push_back(Median(std::move(of_side)));
  return medians;
}

double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

double Quantile(std::vector<double> values, double fraction) {
  KV_CHECK(!values.empty());
  const size_t at = std::min(values.size() - 1,
                             static_cast<size_t>(fraction * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(at), values.end());
  return values[at];
}

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double ProcessorSeconds(pid_t pid) {
  clockid_t clock;
  timespec time;
  KV_CHECK(clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &time) == 0);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

uint64_t ResidentBytes(pid_t pid) {
  const std::string process = pid == 0 ? "self" : std::to_string(pid);
  uint64_t total_pages = 0, resident_pages = 0;
  std::ifstream("/proc/" + process + "/statm") >> total_pages >> resident_pages;
  KV_CHECK(resident_pages > 0);
  return resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void PrintAtLeast(std::string_view name, double value, double target) {
  Print(name, value, "at-least", target);
}

void PrintAtMost(std::string_view name, double value, double target) {
  Print(name, value, "at-most", target);
}

}  // namespace kvasir::bench
