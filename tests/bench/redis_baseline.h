#ifndef KVASIR_TESTS_BENCH_REDIS_BASELINE_H_
#define KVASIR_TESTS_BENCH_REDIS_BASELINE_H_

#include <hiredis/hiredis.h>
#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>

namespace kvasir::bench {

// A redis-server of our own on loopback, without persistence, and one connection to it.
// It dies with this process.
class RedisBaseline {
 public:
  // Forks. Ends this process with a message if redis-server is not installed.
  RedisBaseline();
  ~RedisBaseline();
  RedisBaseline(const RedisBaseline&) = delete;
  RedisBaseline& operator=(const RedisBaseline&) = delete;

  // Stores keys 0 to count - 1, of value_bytes each.
  void Fill(size_t count, size_t value_bytes);
  // GETs them all in one pipeline and copies the values into place.
  void PipelinedGet(size_t count, std::span<std::byte> into);

 private:
  redisContext* connection_ = nullptr;
  pid_t pid_ = -1;
};

}  // namespace kvasir::bench

#endif  // KVASIR_TESTS_BENCH_REDIS_BASELINE_H_
