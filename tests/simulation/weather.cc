#include "tests/simulation/weather.h"

namespace kvasir::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// One of three worlds in four has this trouble, as often as `often` at most.
uint64_t Trouble(Dice* dice, uint64_t often) {
  return dice->Chance(750'000) ? dice->Between(0, often) : 0;
}

void DrawSizes(Dice* dice, Weather* weather) {
  weather->arena_units = dice->Between(6, 36);
  weather->keys = dice->Between(2, 14);
  weather->clients = dice->Between(2, 4);
  weather->lanes_max = dice->Between(1, 2);
  weather->ops = dice->Between(8, 24);
  weather->block_bytes_max = size_t{1024} << dice->Between(0, 4);
  weather->gated = dice->Chance(250'000);
  // Often so short that one slow packet outlives it.
  weather->lease_ttl =
      milliseconds(dice->Between(150, dice->Chance(500'000) ? 400 : 2'000));
  weather->session_silence = milliseconds(dice->Between(300, 3'000));
  weather->reaper_interval = milliseconds(dice->Between(20, 200));
  weather->fence_max = milliseconds(dice->Between(1, 2'000));
  weather->op_timeout_max = milliseconds(dice->Between(100, 5'000));
}

void DrawNetwork(Dice* dice, Weather* weather) {
  weather->message_fast_max = microseconds(dice->Between(50, 2'000));
  weather->message_slow_max = milliseconds(dice->Between(10, 3'000));
  weather->message_slow = Trouble(dice, 100'000);
  weather->message_lost = Trouble(dice, 30'000);
  weather->message_duplicated = Trouble(dice, 80'000);
  weather->stream_reset = Trouble(dice, 30'000);
  weather->end_unseen = Trouble(dice, 500'000);

  weather->packet_bytes = size_t{256} << dice->Between(0, 4);
  weather->packet_fast_max = microseconds(dice->Between(20, 1'000));
  weather->packet_slow_max = milliseconds(dice->Between(10, 8'000));
  weather->packet_slow = Trouble(dice, 40'000);
  weather->packet_lost = Trouble(dice, 8'000);
  weather->packet_duplicated = Trouble(dice, 40'000);
  weather->packet_corrupted = Trouble(dice, 8'000);
}

void DrawDisk(Dice* dice, Weather* weather) {
  weather->disk = dice->Chance(600'000);
  // Room for all there is, or for so little that it drops blocks all the time; a probe
  // of its health fits.
  weather->disk_bytes = dice->Chance(750'000) ? 1'000'000 : dice->Between(72, 192) * 1024;
  weather->write_through = dice->Chance(250'000);
  weather->save_watermark = static_cast<double>(dice->Between(0, 60)) / 100;
  weather->durable = Trouble(dice, 800'000);
  weather->evicted = Trouble(dice, 300'000);
  weather->disk_fast_max = microseconds(dice->Between(50, 20'000));
  weather->disk_slow_max = milliseconds(dice->Between(10, 3'000));
  weather->disk_slow = Trouble(dice, 200'000);
  weather->disk_busy = Trouble(dice, 200'000);
  weather->store_fails = Trouble(dice, 20'000);
  weather->delete_fails = Trouble(dice, 20'000);
  weather->load_fails = Trouble(dice, 50'000);
  weather->bit_flips = Trouble(dice, 30'000);
}

}  // namespace

Weather Weather::Draw(Dice* dice) {
  Weather weather;
  DrawSizes(dice, &weather);
  DrawNetwork(dice, &weather);
  DrawDisk(dice, &weather);
  weather.preempted = Trouble(dice, 20'000);
  weather.preempted_max = milliseconds(dice->Between(10, 5'000));
  weather.client_paused = Trouble(dice, 40'000);
  weather.client_killed = Trouble(dice, 10'000);
  // What a disk keeps shows at a restart only.
  const bool restarts = dice->Chance(weather.disk ? 500'000 : 250'000);
  weather.server_restart_every =
      restarts ? milliseconds(dice->Between(300, 6'000)) : seconds(0);
  const bool pauses = dice->Chance(250'000);
  weather.server_pause_every =
      pauses ? milliseconds(dice->Between(300, 6'000)) : seconds(0);
  return weather;
}

Weather::Duration Weather::MessageDelay(Dice* dice) const {
  const bool slow = dice->Chance(message_slow);
  return dice->Between(microseconds(10), slow ? message_slow_max : message_fast_max);
}

Weather::Duration Weather::PacketDelay(Dice* dice) const {
  const bool slow = dice->Chance(packet_slow);
  return dice->Between(microseconds(2), slow ? packet_slow_max : packet_fast_max);
}

Weather::Duration Weather::DiskDelay(Dice* dice) const {
  const bool slow = dice->Chance(disk_slow);
  return dice->Between(microseconds(2), slow ? disk_slow_max : disk_fast_max);
}

}  // namespace kvasir::sim
