#include "tests/bench/redis_baseline.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/check.h"

namespace kvasir::bench {
namespace {

// A loopback port that was free a moment ago.
int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  KV_CHECK(bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0);
  KV_CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

redisContext* ConnectTo(int port) {
  for (int attempt = 0; attempt < 500; ++attempt) {
    redisContext* const connection = redisConnect("127.0.0.1", port);
    if (connection != nullptr && connection->err == 0) return connection;
    if (connection != nullptr) redisFree(connection);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::fprintf(stderr, "redis-server does not answer: is the package installed?\n");
  std::exit(1);
}

}  // namespace

RedisBaseline::RedisBaseline() {
  const int port = FreePort();
  const std::string port_text = std::to_string(port);
  pid_ = fork();
  KV_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
    execlp("redis-server", "redis-server", "--port", port_text.c_str(), "--bind", "127.0.0.1",
           "--save", "", "--appendonly", "no", "--dir", "/tmp", nullptr);
    _exit(127);
  }
  connection_ = ConnectTo(port);
}

RedisBaseline::~RedisBaseline() {
  redisFree(connection_);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void RedisBaseline::Fill(size_t count, size_t value_bytes) {
  const std::string value(value_bytes, 'v');
  for (size_t i = 0; i < count; ++i) {
    void* const reply =
        redisCommand(connection_, "SET %d %b", static_cast<int>(i), value.data(), value.size());
    KV_CHECK(reply != nullptr);
    freeReplyObject(reply);
  }
}

void RedisBaseline::PipelinedGet(size_t count, std::span<std::byte> into) {
  for (size_t i = 0; i < count; ++i) {
    redisAppendCommand(connection_, "GET %d", static_cast<int>(i));
  }
  size_t done = 0;
  for (size_t i = 0; i < count; ++i) {
    void* answer = nullptr;
    KV_CHECK(redisGetReply(connection_, &answer) == REDIS_OK);
    const auto* const reply = static_cast<redisReply*>(answer);
    KV_CHECK(reply->type == REDIS_REPLY_STRING && done + reply->len <= into.size());
    std::memcpy(into.data() + done, reply->str, reply->len);
    done += reply->len;
    freeReplyObject(answer);
  }
}

}  // namespace kvasir::bench
