#ifndef KVASIR_TESTS_CLIENT_CLI_APP_FIXTURE_H_
#define KVASIR_TESTS_CLIENT_CLI_APP_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/app.h"
#include "client/cli/environment.h"
#include "client/cli/output.h"
#include "tests/support/borrowed_client.h"
#include "tests/support/fake_admin_client.h"
#include "tests/support/fake_client.h"
#include "tests/support/manual_clock.h"

namespace kvasir {

// The command line against a node in this process.
class AppTest : public ::testing::Test {
 protected:
  AppTest() {
    environment_.clock = &clock_;
    environment_.interrupted = &interrupted_;
    environment_.connect_admin =
        [this](
            const AdminOptions& options) -> absl::StatusOr<std::unique_ptr<AdminClient>> {
      admin_options_ = options;
      return std::make_unique<FakeAdminClient>(&store_, &admin_);
    };
    environment_.connect_client =
        [this](const ClientOptions& options) -> absl::StatusOr<std::unique_ptr<Client>> {
      client_options_ = options;
      if (!connect_failure_.ok()) return connect_failure_;
      return std::make_unique<BorrowedClient>(&store_);
    };
  }

  // Runs a command with fresh streams.
  ExitCode Run(const std::vector<std::string>& arguments, const std::string& input = "") {
    in_ = std::istringstream(input);
    out_ = std::ostringstream();
    err_ = std::ostringstream();
    environment_.in = &in_;
    environment_.out = &out_;
    environment_.err = &err_;
    return RunApp(arguments, environment_);
  }
  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }
  // Standard output, which must be one JSON object.
  Json json() const {
    Json object = Json::parse(out(), nullptr, /*allow_exceptions=*/false);
    EXPECT_TRUE(object.is_object()) << out();
    return object;
  }

  void Store(std::string_view key, std::string bytes, std::string attributes = "") {
    store_.Insert(key, {std::move(bytes), std::move(attributes)});
  }
  std::string Path(const std::string& name) const { return ::testing::TempDir() + name; }
  std::string WriteFile(const std::string& name, const std::string& bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
    return Path(name);
  }
  static std::string ReadFile(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  ManualClock clock_;
  std::atomic<bool> interrupted_ = false;
  FakeClient store_;
  FakeAdminClient::State admin_;
  absl::Status connect_failure_;
  AdminOptions admin_options_;
  ClientOptions client_options_;
  Environment environment_;
  std::istringstream in_;
  std::ostringstream out_, err_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_CLIENT_CLI_APP_FIXTURE_H_
