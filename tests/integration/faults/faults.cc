#include "tests/integration/faults/faults.h"

#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/check.h"

namespace kvasir {
namespace {

constexpr char kDirectory[] = "FAULTS_DIRECTORY";
constexpr char kDeath[] = "FAULTS_DEATH";
constexpr int kStallPollMs = 5;

constexpr std::array<std::string_view, kFailPoints> kPointNames = {
    "store-begun",      "segment-created", "segment-written", "segment-linked",
    "manifest-written", "manifest-synced", "log-written",     "log-synced",
    "store-done",       "delete-begun",    "delete-done",     "segment-dropped",
    "load-done"};
constexpr std::array<std::string_view, 8> kFaultNames = {
    "write-error", "no-space",   "manifest-error",        "read-error",
    "write-stall", "read-stall", "early-acknowledgement", "forgotten-removal"};

std::string PathOf(std::string_view directory, Fault fault) {
  return fmt::format("{}/{}", directory, FaultName(fault));
}

}  // namespace

std::string_view FailPointName(FailPoint point) {
  return kPointNames[static_cast<size_t>(point)];
}

std::string_view FaultName(Fault fault) { return kFaultNames[static_cast<size_t>(fault)]; }

std::string Faults::DirectoryVariable(std::string_view directory) {
  return fmt::format("{}={}", kDirectory, directory);
}

std::string Faults::DeathVariable(const Death& death) {
  return fmt::format("{}={}:{}", kDeath, static_cast<int>(death.point), death.count);
}

void Faults::Begin(std::string_view directory, Fault fault) {
  std::filesystem::create_directories(directory);
  std::ofstream file(PathOf(directory, fault));
  KV_CHECK(file.good());
}

void Faults::End(std::string_view directory, Fault fault) {
  KV_CHECK(std::filesystem::remove(PathOf(directory, fault)));
}

Faults Faults::FromEnvironment() {
  Faults faults;
  if (const char* const directory = std::getenv(kDirectory); directory != nullptr) {
    faults.directory_ = directory;
  }
  if (const char* const death = std::getenv(kDeath); death != nullptr) {
    char* end = nullptr;
    const unsigned long point = std::strtoul(death, &end, 10);
    KV_CHECK(*end == ':' && point < kFailPoints);
    faults.death_ = {.point = static_cast<FailPoint>(point),
                     .count = std::strtoul(end + 1, nullptr, 10)};
  }
  return faults;
}

Faults::Faults(const Faults& other)
    : directory_(other.directory_), death_(other.death_), passed_(other.passed_.load()) {}

void Faults::Pass(FailPoint point) {
  if (!death_.has_value() || death_->point != point) return;
  if (++passed_ < death_->count) return;
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

bool Faults::IsOn(Fault fault) const {
  return !directory_.empty() && ::access(PathOf(directory_, fault).c_str(), F_OK) == 0;
}

void Faults::Outlast(Fault fault) const {
  while (IsOn(fault)) ::poll(nullptr, 0, kStallPollMs);
}

}  // namespace kvasir
