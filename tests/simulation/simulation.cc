#include "tests/simulation/simulation.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/region.h"
#include "storage/arena.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/seeded_random.h"
#include "tests/simulation/server.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/values.h"
#include "tests/simulation/weather.h"

namespace kvasir::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// After the last client has gone nothing may be held for longer than the longest lease.
constexpr seconds kQuiet{31};
// A world that is not over by then is stuck: the longest run for a minute or two.
constexpr minutes kLongest{30};
constexpr uint64_t kEventsMax = 5'000'000;
constexpr size_t kTraceCharsMax = 30'000;

// Mapped once: mapping costs more than a simulation.
Region* RegionOf(size_t units) {
  static std::vector<std::unique_ptr<Region>>* const regions =
      new std::vector<std::unique_ptr<Region>>(64);
  std::unique_ptr<Region>& region = regions->at(units);
  if (region == nullptr) {
    region = *Region::Map({.size_bytes = units * Arena::kUnitBytes});
  }
  std::memset(region->bytes().data(), 0, region->bytes().size());
  return region.get();
}

Process::Options DrawProcess(std::string name, Dice* dice) {
  Process::Options options{.name = std::move(name)};
  options.clock_offset = dice->Between(seconds(0), seconds(100'000));
  // Two of them may differ by less than the drift that the rules allow for.
  options.clock_drift_ppm = static_cast<int64_t>(dice->Between(0, 800)) - 400;
  return options;
}

Weather DrawWeather(const SimulateOptions& options, Dice* dice) {
  Weather weather = Weather::Draw(dice);
  if (!options.damage) weather.packet_corrupted = weather.bit_flips = 0;
  return weather;
}

class World {
 public:
  explicit World(const SimulateOptions& options);

  void Run();
  Report Finish();

 private:
  void RunWhile(const std::function<bool()>& condition);
  void StartClients();
  void RestartSometimes();
  void StopOnceDrained(Instant patience);
  void StartSoon();
  void PauseSometimes();
  Process::Options ClientProcess(size_t index);

  Report report_;
  Dice dice_;
  Scheduler scheduler_;
  Trace trace_;
  const Weather weather_;
  Region* const region_;
  Values values_;
  Oracle oracle_;
  Process server_process_;
  Fabric fabric_;
  Disk disk_;
  Server server_;
  Network network_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<std::unique_ptr<Client>> clients_;
  bool trouble_ = true;
};

World::World(const SimulateOptions& options)
    : dice_(options.seed),
      trace_(&scheduler_, options.trace),
      weather_(DrawWeather(options, &dice_)),
      region_(RegionOf(weather_.arena_units)),
      oracle_({.scheduler = &scheduler_,
               .trace = &trace_,
               .values = &values_,
               .arena = region_->bytes(),
               .disk = weather_.disk}),
      server_process_(&scheduler_, DrawProcess("server", &dice_)),
      fabric_({.scheduler = &scheduler_,
               .dice = &dice_,
               .trace = &trace_,
               .oracle = &oracle_,
               .weather = &weather_,
               .server = &server_process_}),
      disk_({.scheduler = &scheduler_,
             .dice = &dice_,
             .trace = &trace_,
             .oracle = &oracle_,
             .weather = &weather_,
             .server = &server_process_}),
      server_({.scheduler = &scheduler_,
               .dice = &dice_,
               .trace = &trace_,
               .oracle = &oracle_,
               .weather = &weather_,
               .fabric = &fabric_,
               .disk = &disk_,
               .process = &server_process_,
               .region = region_}),
      network_({.scheduler = &scheduler_,
                .dice = &dice_,
                .trace = &trace_,
                .oracle = &oracle_,
                .weather = &weather_,
                .fabric = &fabric_,
                .server = &server_}) {
  report_.options = options;
  oracle_.Ask(&server_);
  SeedRandom(options.seed);
}

Process::Options World::ClientProcess(size_t index) {
  Process::Options options = DrawProcess(fmt::format("client{}", index), &dice_);
  options.after_clock_read = [this] {
    if (!dice_.Chance(weather_.preempted)) return;
    scheduler_.Sleep(dice_.Between(BootClock::duration(0), weather_.preempted_max));
  };
  return options;
}

void World::StartClients() {
  for (size_t i = 1; i <= weather_.clients; ++i) {
    processes_.push_back(std::make_unique<Process>(&scheduler_, ClientProcess(i)));
    clients_.push_back(
        std::make_unique<Client>(Client::World{.scheduler = &scheduler_,
                                               .dice = &dice_,
                                               .trace = &trace_,
                                               .oracle = &oracle_,
                                               .values = &values_,
                                               .weather = &weather_,
                                               .fabric = &fabric_,
                                               .network = &network_,
                                               .counters = &report_.clients},
                                 processes_.back().get()));
    clients_.back()->Start();
  }
}

void World::RestartSometimes() {
  const BootClock::duration every = weather_.server_restart_every;
  if (every == BootClock::duration(0)) return;
  scheduler_.After(dice_.Between(every / 2, every * 2), [this] {
    if (!trouble_) return;
    if (dice_.Chance(400'000)) {
      trace_.Say("server drains");
      server_.core()->BeginDrain();
      StopOnceDrained(scheduler_.Now() + seconds(5));
    } else {
      server_.Crash();
      StartSoon();
    }
  });
}

// As on SIGTERM, with SIGKILL at `patience`.
void World::StopOnceDrained(Instant patience) {
  const bool stopped = server_.core()->drained() && server_.Save();
  if (stopped) server_.Stop();
  if (!stopped && scheduler_.Now() >= patience) server_.Crash();
  if (!server_.up()) return StartSoon();
  scheduler_.After(milliseconds(50), [this, patience] { StopOnceDrained(patience); });
}

void World::StartSoon() {
  ++report_.restarts;
  scheduler_.After(dice_.Between(milliseconds(1), milliseconds(500)), [this] {
    server_.Start();
    RestartSometimes();
  });
}

void World::PauseSometimes() {
  if (weather_.server_pause_every == BootClock::duration(0)) return;
  scheduler_.After(
      dice_.Between(weather_.server_pause_every / 2, weather_.server_pause_every * 2),
      [this] {
        if (!trouble_) return;
        trace_.Say("server is paused");
        server_process_.Pause(dice_.Between(milliseconds(1), milliseconds(2'000)));
        PauseSometimes();
      });
}

void World::RunWhile(const std::function<bool()>& condition) {
  const Instant longest = scheduler_.Now() + kLongest;
  while (condition()) {
    const bool ran = scheduler_.RunOne();
    if (ran && scheduler_.Now() < longest && scheduler_.events_run() < kEventsMax)
      continue;
    fmt::print(stderr, "seed {} is stuck, {} fibers wait\n{}", report_.options.seed,
               scheduler_.fibers(), trace_.lines());
    KV_CHECK(false);
  }
}

void World::Run() {
  server_.Start();
  StartClients();
  RestartSometimes();
  PauseSometimes();
  RunWhile([this] { return scheduler_.fibers() > 0 || !server_.up(); });
  trouble_ = false;
  network_.CalmDown();
  disk_.CalmDown();
  const Instant end = scheduler_.Now() + kQuiet;
  RunWhile([this, end] { return scheduler_.Now() < end || !server_.up(); });
  if (const std::string left = server_.Leftovers(); !left.empty()) {
    oracle_.Violation("31 seconds after the last client there are: " + left);
  }
  server_.core()->BeginDrain();
  if (!server_.core()->drained()) oracle_.Violation("an idle server is not drained");
}

Report World::Finish() {
  report_.violations = oracle_.violations();
  report_.trace = trace_.lines();
  report_.events = scheduler_.events_run();
  report_.fabric = fabric_.counters();
  report_.network = network_.counters();
  report_.disk = disk_.counters();
  report_.oracle = oracle_.seen();
  server_.AddStats(&report_.core);
  report_.fingerprint =
      dice_.Next() ^ report_.events ^
      static_cast<uint64_t>(scheduler_.Now().time_since_epoch().count());
  return std::move(report_);
}

}  // namespace

Report Simulate(const SimulateOptions& options) {
  World world(options);
  world.Run();
  return world.Finish();
}

std::string Explain(const Report& report) {
  SimulateOptions options = report.options;
  options.trace = true;
  const Report again = Simulate(options);
  std::string text = fmt::format("seed {}, {} violations:\n", report.options.seed,
                                 report.violations.size());
  for (const std::string& violation : report.violations) text += "  " + violation + "\n";
  // What matters is around the first of them.
  const size_t first = std::min(again.trace.find("VIOLATION"), again.trace.size());
  const size_t from = first > kTraceCharsMax ? first - kTraceCharsMax : 0;
  text += again.trace.substr(from, first - from + 2'000);
  return text + fmt::format("\nreplay with KVASIR_SIM_SEED={}\n", report.options.seed);
}

void Report::Add(const Report& other) {
  events += other.events;
  restarts += other.restarts;
  for (size_t i = 0; i < ClientCounters::kOutcomes; ++i) {
    clients.gets[i] += other.clients.gets[i];
    clients.puts[i] += other.clients.puts[i];
  }
  clients.sessions += other.clients.sessions;
  clients.lanes += other.clients.lanes;
  clients.pins += other.clients.pins;
  clients.removes += other.clients.removes;
  clients.put_retries += other.clients.put_retries;
  clients.kills += other.clients.kills;
  clients.pauses += other.clients.pauses;
  fabric.landed += other.fabric.landed;
  fabric.landed_late += other.fabric.landed_late;
  fabric.cut_off += other.fabric.cut_off;
  fabric.fences += other.fabric.fences;
  fabric.refused += other.fabric.refused;
  network.lost += other.network.lost;
  network.duplicated += other.network.duplicated;
  network.resets += other.network.resets;
  network.put_off += other.network.put_off;
  disk.stores += other.disk.stores;
  disk.loads += other.disk.loads;
  disk.deletes += other.disk.deletes;
  disk.failures += other.disk.failures;
  disk.cut_off += other.disk.cut_off;
  oracle.grants += other.oracle.grants;
  oracle.published += other.oracle.published;
  oracle.reuses += other.oracle.reuses;
  oracle.copies += other.oracle.copies;
  oracle.settled_late += other.oracle.settled_late;
  oracle.taken_back += other.oracle.taken_back;
  oracle.recovered += other.oracle.recovered;
  oracle.durable_recovered += other.oracle.durable_recovered;
  oracle.told_durable += other.oracle.told_durable;
  oracle.rolled_back += other.oracle.rolled_back;
  core.expired_reads += other.core.expired_reads;
  core.expired_writes += other.core.expired_writes;
  core.expired_pins += other.core.expired_pins;
  core.expired_sessions += other.core.expired_sessions;
  core.commit_checksum_failures += other.core.commit_checksum_failures;
  core.write_refused += other.core.write_refused;
  core.refused_requests += other.core.refused_requests;
}

std::string Report::Summary() const {
  std::string text = fmt::format(
      "{} events, {} restarts, {} kills, {} pauses, {} sessions, {} lanes\n", events,
      restarts, clients.kills, clients.pauses, clients.sessions, clients.lanes);
  text += fmt::format(
      "gets: {} hits, {} absent, {} late, {} checksum, {} size, {} node down\n",
      clients.Gets(Outcome::kOk), clients.Gets(Outcome::kAbsent),
      clients.Gets(Outcome::kLate), clients.Gets(Outcome::kChecksum),
      clients.Gets(Outcome::kSize), clients.Gets(Outcome::kNodeDown));
  text += fmt::format(
      "puts: {} stored, {} exist, {} in progress, {} refused, {} late, {} checksum, {} "
      "node "
      "down, {} retried\n",
      clients.Puts(Outcome::kOk), clients.Puts(Outcome::kExists),
      clients.Puts(Outcome::kInProgress), clients.Puts(Outcome::kRefused),
      clients.Puts(Outcome::kLate), clients.Puts(Outcome::kChecksum),
      clients.Puts(Outcome::kNodeDown), clients.put_retries);
  text += fmt::format(
      "memory: {} grants, {} published, {} reuses; packets: {} landed, {} of them late, "
      "{} "
      "cut off, {} refused; {} fences\n",
      oracle.grants, oracle.published, oracle.reuses, fabric.landed, fabric.landed_late,
      fabric.cut_off, fabric.refused, fabric.fences);
  text += fmt::format(
      "messages: {} lost, {} twice, {} resets; expired: {} reads, {} writes, {} pins, {} "
      "sessions; refused {} requests, {} commits by checksum\n",
      network.lost, network.duplicated, network.resets, core.expired_reads,
      core.expired_writes, core.expired_pins, core.expired_sessions,
      core.refused_requests, core.commit_checksum_failures);
  text += fmt::format(
      "disk: {} stored, {} loaded, {} deleted, {} calls failed, {} cut off; {} copies "
      "used, {} settled late, {} taken back, {} answers put off; recovered {}, {} of them "
      "durable, {} older than the last\n",
      disk.stores, disk.loads, disk.deletes, disk.failures, disk.cut_off, oracle.copies,
      oracle.settled_late, oracle.taken_back, network.put_off, oracle.recovered,
      oracle.durable_recovered, oracle.rolled_back);
  return text;
}

}  // namespace kvasir::sim
