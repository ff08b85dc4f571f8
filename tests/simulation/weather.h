#ifndef KVASIR_TESTS_SIMULATION_WEATHER_H_
#define KVASIR_TESTS_SIMULATION_WEATHER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "tests/simulation/dice.h"

namespace kvasir::sim {

// The shape of one simulated world: how large it is and how badly it behaves. Drawn from
// the seed, so that calm worlds, where much is stored and read, and rough ones, where
// little survives, are all among them. Chances are per million.
struct Weather {
  using Duration = std::chrono::nanoseconds;

  // The store and its clients.
  size_t arena_units = 0;
  size_t keys = 0;
  size_t clients = 0;
  size_t lanes_max = 0;  // a client
  size_t ops = 0;        // a lane
  size_t block_bytes_max = 0;
  // The server's CPU moves the bytes and checks every token, as over tcp. Otherwise the
  // client's NIC does, and nobody checks anything but the queue pair.
  bool gated = false;
  std::chrono::milliseconds lease_ttl{};
  std::chrono::milliseconds session_silence{};
  Duration reaper_interval{};
  Duration fence_max{};
  Duration op_timeout_max{};

  // The disk below memory, if there is one.
  bool disk = false;
  uint64_t disk_bytes = 0;
  bool write_through = false;
  double save_watermark = 0;
  uint64_t durable = 0;  // a put
  uint64_t evicted = 0;  // a step of the server: all memory that nobody holds
  Duration disk_fast_max{};
  Duration disk_slow_max{};
  uint64_t disk_slow = 0;  // a call, here and below
  uint64_t disk_busy = 0;  // its executor is full
  uint64_t store_fails = 0;
  uint64_t delete_fails = 0;
  uint64_t load_fails = 0;
  uint64_t bit_flips = 0;  // in what is loaded

  // Control messages.
  Duration message_fast_max{};
  Duration message_slow_max{};
  uint64_t message_slow = 0;
  uint64_t message_lost = 0;
  uint64_t message_duplicated = 0;
  uint64_t stream_reset = 0;
  uint64_t end_unseen = 0;  // the server never learns that a stream has ended

  // Packets of the data path.
  size_t packet_bytes = 0;
  Duration packet_fast_max{};
  Duration packet_slow_max{};
  uint64_t packet_slow = 0;
  uint64_t packet_lost = 0;
  uint64_t packet_duplicated = 0;
  uint64_t packet_corrupted = 0;

  // Processes.
  uint64_t preempted = 0;  // at a look at the clock, before or after a Run
  Duration preempted_max{};
  uint64_t client_paused = 0;  // an operation
  uint64_t client_killed = 0;  // an operation
  Duration server_restart_every{};
  Duration server_pause_every{};

  static Weather Draw(Dice* dice);

  // Fast most of the time.
  Duration MessageDelay(Dice* dice) const;
  Duration PacketDelay(Dice* dice) const;
  Duration DiskDelay(Dice* dice) const;
};

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_WEATHER_H_
