#ifndef KVASIR_TESTS_BENCH_MEASURE_H_
#define KVASIR_TESTS_BENCH_MEASURE_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// What every benchmark shares: sides measured in turn, medians, and one line a
// comparison that a script can read. Absolute times drift on shared machines, so a
// ratio comes from runs that were interleaved.
namespace kvasir::bench {

// One side of a comparison. `run` does the work once and returns its figure (seconds,
// or a rate), whatever the comparison is about.
struct Side {
  std::string name;
  std::function<double()> run;
};

// Runs the sides in turn, A B C A B C ..., once to warm up and `rounds` times counted;
// returns the median figure of each, in their order.
std::vector<double> InterleavedMedians(std::span<const Side> sides, int rounds);

double Median(std::vector<double> values);
// The value below which `fraction` (0 to 1) of the values lie.
double Quantile(std::vector<double> values, double fraction);

// Seconds that `work` takes.
double Seconds(const std::function<void()>& work);

// Processor seconds of the process `pid` (0: this one) with all its threads, in user and
// kernel mode, since it started.
double ProcessorSeconds(pid_t pid);

// Resident bytes of the process `pid` (0: this one), with the pages that it shares.
uint64_t ResidentBytes(pid_t pid);

// "RATIO <name> <value> at-least|at-most <target>", on standard output.
void PrintAtLeast(std::string_view name, double value, double target);
void PrintAtMost(std::string_view name, double value, double target);

}  // namespace kvasir::bench

#endif  // KVASIR_TESTS_BENCH_MEASURE_H_
