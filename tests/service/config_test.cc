#include "service/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

std::string MessageOf(const absl::StatusOr<ConfigRequest>& loaded) {
  return std::string(loaded.status().message());
}

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    sources_.machine = {.memory_bytes = 32 * kGiB,
                        .cores = 8,
                        .host_name = "testhost",
                        .runtime_dir = "/run/user/7/kvasir"};
  }

  std::string WriteFile(std::string_view text) {
    const std::string path =
        (std::filesystem::path(testing::TempDir()) / "kv.yaml").string();
    std::ofstream(path) << text;
    return path;
  }
  absl::StatusOr<ConfigRequest> Load(std::vector<std::string> args) {
    sources_.args = std::move(args);
    return LoadConfig(sources_);
  }
  absl::StatusOr<ConfigRequest> LoadFile(std::string_view text) {
    return Load({"--config", WriteFile(text)});
  }
  Config LoadedConfig(std::vector<std::string> args) {
    const absl::StatusOr<ConfigRequest> loaded = Load(std::move(args));
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return loaded.ok() ? loaded->config : Config();
  }

  ConfigSources sources_;
};

TEST_F(ConfigTest, DefaultsServeThisMachineAndNobodyElse) {
  const Config config = LoadedConfig({});
  EXPECT_EQ(config.listen.ToString(), "127.0.0.1:7450");
  EXPECT_EQ(config.data_listen.ToString(), "127.0.0.1:7451");
  EXPECT_EQ(config.http_listen.ToString(), "127.0.0.1:9450");
  EXPECT_EQ(config.memory_bytes, 8 * kGiB);
  EXPECT_EQ(config.node_name, "testhost");
  EXPECT_EQ(config.shm_dir, "/run/user/7/kvasir");
  EXPECT_EQ(config.data_loops, 4u);
  EXPECT_EQ(config.lease_ttl, kDefaultLeaseTtl);
  EXPECT_FALSE(config.transport.has_value());
  EXPECT_FALSE(config.insecure);
}

TEST_F(ConfigTest, DefaultMemoryIsCappedOnLargeMachinesAndNeverTiny) {
  sources_.machine.memory_bytes = 1024 * kGiB;
  EXPECT_EQ(LoadedConfig({}).memory_bytes, 16 * kGiB);
  sources_.machine.memory_bytes = 128 * kMiB;
  EXPECT_EQ(LoadedConfig({}).memory_bytes, 64 * kMiB);
}

TEST_F(ConfigTest, FlagWinsOverEnvironmentOverFileOverDefault) {
  const std::string path = WriteFile(
      "node_name: from-file\nmemory: 1GiB\nlease_ttl: 2s\nsession_silence: 4s\n");
  sources_.environment = {"KVASIR_NODE_NAME=from-env", "KVASIR_MEMORY=2GiB",
                          "KVASIR_CONFIG=" + path, "KVASIR_LEASE_TTL=3s", "PATH=/bin"};
  const absl::StatusOr<ConfigRequest> loaded = Load({"--memory=3GiB"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.memory_bytes, 3 * kGiB);
  EXPECT_EQ(loaded->config.node_name, "from-env");
  EXPECT_EQ(loaded->config.session_silence, milliseconds(4'000));
  EXPECT_EQ(loaded->config.lease_ttl, milliseconds(3'000));
  EXPECT_EQ(loaded->origins.at("memory"), "flag");
  EXPECT_EQ(loaded->origins.at("node_name"), "KVASIR_NODE_NAME");
  EXPECT_EQ(loaded->origins.at("session_silence"), path + ":4");
  EXPECT_EQ(loaded->origins.count("listen"), 0u);
}

TEST_F(ConfigTest, TheFlagNamesTheFileBeforeTheVariableDoes) {
  sources_.environment = {"KVASIR_CONFIG=/nonexistent.yaml"};
  const absl::StatusOr<ConfigRequest> loaded = LoadFile("node_name: n1\n");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.node_name, "n1");
}

TEST_F(ConfigTest, EverySettingWorksInTheFile) {
  const absl::StatusOr<ConfigRequest> loaded = LoadFile(
      "listen: 127.0.0.1:1\ndata_listen: '[::1]:2'\nhttp_listen: localhost:3\n"
      "insecure: true\nmemory: 50%\nnuma_node: 1\ndata_dir: /d\neviction_policy: lru\n"
      "disk: 5GiB\nwrite_policy: write_through\n"
      "control_socket: /c\n"
      "transport: tcp\ndata_loops: 2\nshm_dir: /s\nnode_name: n\nlease_ttl: 1500ms\n"
      "session_silence: 10s\nready_file: /r\nlog_level: debug\n");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const Config& config = loaded->config;
  EXPECT_EQ(config.data_listen.ToString(), "[::1]:2");
  EXPECT_TRUE(config.insecure);
  EXPECT_EQ(config.control_socket, "/c");
  EXPECT_EQ(config.memory_bytes, 16 * kGiB);
  EXPECT_EQ(config.numa_node, 1);
  EXPECT_EQ(config.eviction_policy, EvictionPolicyKind::kLru);
  EXPECT_EQ(config.data_dir, "/d");
  EXPECT_EQ(config.disk_bytes, 5 * kGiB);
  EXPECT_EQ(config.write_policy, WritePolicy::kWriteThrough);
  EXPECT_EQ(config.transport, TransportKind::kTcp);
  EXPECT_EQ(config.lease_ttl, milliseconds(1'500));
  EXPECT_EQ(config.log_level, LogLevel::kDebug);
}

TEST_F(ConfigTest, LevelWarningHasAShortName) {
  for (const char* const name : {"warn", "warning"}) {
    EXPECT_EQ(LoadedConfig({"--log_level", name}).log_level, LogLevel::kWarning) << name;
  }
}

TEST_F(ConfigTest, UnknownFlagIsRefusedWithTheNearestName) {
  EXPECT_EQ(MessageOf(Load({"--lisen", "127.0.0.1:1"})),
            "--lisen is no flag; did you mean --listen?");
  EXPECT_EQ(MessageOf(Load({"--data-listen=127.0.0.1:1"})),
            "--data-listen is no flag; did you mean --data_listen?");
  EXPECT_THAT(MessageOf(Load({"serve"})), HasSubstr("\"serve\" is no flag"));
}

TEST_F(ConfigTest, UnknownVariableIsRefusedWithTheNearestName) {
  sources_.environment = {"KVASIR_MEMRY=1GiB"};
  EXPECT_EQ(MessageOf(Load({})),
            "environment: KVASIR_MEMRY is no setting; did you mean KVASIR_MEMORY?");
}

TEST_F(ConfigTest, UnknownKeyIsRefusedWithItsLineAndTheNearestName) {
  const absl::StatusOr<ConfigRequest> loaded =
      LoadFile("# x\nmemory: 1GiB\nnod_name: a\n");
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      MessageOf(loaded),
      HasSubstr("kv.yaml:3: \"nod_name\" is no setting; did you mean node_name?"));
}

TEST_F(ConfigTest, VariablesThatKubernetesMakesForAServiceAreNoMistake) {
  sources_.environment = {"KVASIR_SERVICE_HOST=10.0.0.1",
                          "KVASIR_SERVICE_PORT=7450",
                          "KVASIR_SERVICE_PORT_GRPC=7450",
                          "KVASIR_PORT=tcp://10.0.0.1:7450",
                          "KVASIR_PORT_7450_TCP=tcp://10.0.0.1:7450",
                          "KVASIR_PORT_7450_TCP_ADDR=10.0.0.1",
                          "KVASIR_SERVER=127.0.0.1:7450"};
  EXPECT_TRUE(Load({}).ok());
}

TEST_F(ConfigTest, AnEmptyVariableIsNotSet) {
  sources_.environment = {"KVASIR_MEMORY=", "KVASIR_CONFIG="};
  EXPECT_EQ(LoadedConfig({}).memory_bytes, 8 * kGiB);
}

TEST_F(ConfigTest, AWrongValueIsNamedWithItsPlace) {
  EXPECT_THAT(MessageOf(Load({"--memory", "12parsecs"})),
              HasSubstr("--memory: parse size: \"12parsecs\""));
  EXPECT_THAT(MessageOf(LoadFile("\nlisten: 7450\n")),
              HasSubstr("kv.yaml:2: listen: \"7450\""));
  sources_.environment = {"KVASIR_LEASE_TTL=1h"};
  EXPECT_THAT(MessageOf(Load({})),
              HasSubstr("KVASIR_LEASE_TTL: \"1h\" is not a duration"));
}

struct WrongValue {
  std::string flag, value, message;
};

TEST_F(ConfigTest, EveryKindOfWrongValueIsRefused) {
  const WrongValue cases[] = {
      {"--memory", "1KiB", "less than"},
      {"--memory", "64GiB", "more than the 32 GiB of memory"},
      {"--memory", "0%", "from 1% to 95%"},
      {"--memory", "96%", "from 1% to 95%"},
      {"--memory", "-1GiB", "-1GiB"},
      {"--memory", "", "SIZE missing"},
      {"--transport", "carrier", "auto, rdma, shm and tcp"},
      {"--rdma_device", "mlx5_0,", "1 to 4 different devices"},
      {"--rdma_port", "256", "from 0 to 255"},
      {"--rdma_gid_index", "-2", "from -1"},
      {"--eviction_policy", "random", "random"},
      {"--node_name", "a b", "node name"},
      {"--node_name", std::string(254, 'n'), "node name"},
      {"--data_loops", "0", "from 1 to 16"},
      {"--data_loops", "2x", "from 1 to 16"},
      {"--numa_node", "-2", "from -1"},
      {"--lease_ttl", "99ms", "from 100 ms to 30000 ms"},
      {"--lease_ttl", "31s", "from 100 ms to 30000 ms"},
      {"--lease_ttl", "5", "such as 500ms or 5s"},
      {"--lease_ttl", "inf", "duration"},
      {"--session_silence", "-1s", "duration"},
      {"--log_level", "loud", "debug, info, warning or error"},
      {"--insecure", "maybe", "maybe"},
      {"--shm_dir", "", "DIR missing"},
      {"--control_socket", "here", "absolute path of at most 107 bytes"},
      {"--control_socket", "/" + std::string(107, 's'), "absolute path of at most 107 bytes"},
  };
  for (const WrongValue& wrong : cases) {
    const absl::StatusOr<ConfigRequest> loaded = Load({wrong.flag + "=" + wrong.value});
    EXPECT_EQ(loaded.status().code(), absl::StatusCode::kInvalidArgument)
        << wrong.flag << " " << wrong.value;
    EXPECT_THAT(MessageOf(loaded), HasSubstr(wrong.flag));
    EXPECT_THAT(MessageOf(loaded), HasSubstr(wrong.message));
  }
}

TEST_F(ConfigTest, AFlagWithoutItsValueOrGivenTwiceIsRefused) {
  EXPECT_THAT(MessageOf(Load({"--memory"})), HasSubstr("--memory"));
  EXPECT_FALSE(Load({"--memory", "1GiB", "--memory", "2GiB"}).ok());
}

TEST_F(ConfigTest, OtherThanLoopbackNeedsInsecureSaidOutLoud) {
  for (const std::string name : {"listen", "data_listen", "http_listen"}) {
    const absl::StatusOr<ConfigRequest> refused = Load({"--" + name + "=0.0.0.0:0"});
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(MessageOf(refused), HasSubstr(name + ": 0.0.0.0:0 (flag)"));
    EXPECT_THAT(MessageOf(refused), HasSubstr("--insecure"));
    EXPECT_TRUE(Load({"--" + name + "=0.0.0.0:0", "--insecure"}).ok());
  }
}

TEST_F(ConfigTest, ADiskBudgetNeedsADirectory) {
  const absl::StatusOr<ConfigRequest> refused = Load({"--disk=1GiB"});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(refused), HasSubstr("disk: 1 GiB (flag)"));
  EXPECT_THAT(MessageOf(refused), HasSubstr("data_dir"));
  EXPECT_TRUE(Load({"--disk=1GiB", "--data_dir=/var/lib/kvasir"}).ok());
}

TEST_F(ConfigTest, TheSwitchTakesAValueToo) {
  EXPECT_TRUE(LoadedConfig({"--insecure"}).insecure);
  EXPECT_FALSE(LoadedConfig({"--insecure=false"}).insecure);
}

TEST_F(ConfigTest, AFileThatIsNoFileOfSettingsIsRefused) {
  EXPECT_THAT(MessageOf(LoadFile("memory: [1, 2]\n")), HasSubstr("takes one value"));
  EXPECT_THAT(MessageOf(LoadFile("memory:\n")), HasSubstr("not nothing"));
  EXPECT_THAT(MessageOf(LoadFile("memory: 1GiB\nmemory: 2GiB\n")),
              HasSubstr("set twice"));
  EXPECT_THAT(MessageOf(LoadFile("- a\n")), HasSubstr("not settings"));
  EXPECT_THAT(MessageOf(LoadFile("a: b: c\n")), HasSubstr("kv.yaml:1: not YAML"));
  EXPECT_THAT(MessageOf(LoadFile("config: other.yaml\n")),
              HasSubstr("kv.yaml:1: config"));
  EXPECT_THAT(MessageOf(LoadFile("? [a]\n: b\n")), HasSubstr("kv.yaml:1"));
  EXPECT_TRUE(LoadFile("").ok());
  EXPECT_TRUE(LoadFile("# nothing\n").ok());
}

TEST_F(ConfigTest, AFileThatCannotBeReadIsNamed) {
  const absl::StatusOr<ConfigRequest> missing =
      Load({"--config", "/nonexistent/kv.yaml"});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(MessageOf(missing), HasSubstr("/nonexistent/kv.yaml"));
  EXPECT_THAT(MessageOf(Load({"--config", "/tmp"})), HasSubstr("is a directory"));
}

TEST_F(ConfigTest, HelpAndVersionAreAnswersAndNotErrors) {
  EXPECT_EQ(Load({"--help"})->action, ConfigRequest::Action::kHelp);
  EXPECT_EQ(Load({"-h"})->action, ConfigRequest::Action::kHelp);
  EXPECT_EQ(Load({"--version"})->action, ConfigRequest::Action::kVersion);
}

TEST_F(ConfigTest, HelpNamesEverySettingWithinEightyColumns) {
  const std::string help = ConfigHelp(sources_.machine);
  for (const std::string_view name :
       {"config", "listen", "control_socket", "data_listen", "http_listen", "insecure", "memory",
        "numa_node", "data_dir", "disk", "write_policy", "eviction_policy", "transport",
        "data_loops", "shm_dir",
        "node_name", "lease_ttl", "session_silence", "ready_file", "log_level"}) {
    EXPECT_THAT(help, HasSubstr("  --" + std::string(name)));
  }
  EXPECT_THAT(help, HasSubstr("[8 GiB]"));
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
}

TEST_F(ConfigTest, TheBannerShowsEveryValueAndWhereItIsFrom) {
  const absl::StatusOr<ConfigRequest> loaded = Load({"--memory=1GiB"});
  ASSERT_TRUE(loaded.ok());
  const std::string text = DescribeConfig(*loaded);
  EXPECT_THAT(text, testing::ContainsRegex("memory +1 GiB +flag"));
  EXPECT_THAT(text, testing::ContainsRegex("listen +127.0.0.1:7450 +default"));
}

}  // namespace
}  // namespace kvasir
