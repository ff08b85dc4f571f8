#include "client/cli/app.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/status_reason.h"
#include "tests/client/cli/app_fixture.h"

namespace kvasir {
namespace {

TEST_F(AppTest, HelpIsNoErrorAndNamesEveryCommand) {
  EXPECT_EQ(Run({"--help"}), ExitCode::kOk);
  for (const char* command : {"ping", "ls", "stat", "exists", "put", "get", "rm", "pin",
                              "unpin", "info", "replay", "bench"}) {
    EXPECT_NE(out().find("  " + std::string(command) + " "), std::string::npos)
        << command;
    EXPECT_EQ(Run({command, "--help"}), ExitCode::kOk) << command;
    Run({"--help"});
  }
}

TEST_F(AppTest, ReplaysHelpListsTheModelsWithTheFormula) {
  Run({"replay", "--help"});
  EXPECT_NE(out().find("layers * 2 * kv_heads * head_dim"), std::string::npos);
  EXPECT_NE(out().find("llama-3-8b"), std::string::npos);
}

TEST_F(AppTest, WrongUsageIsTwoAndAsksNoNode) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"frobnicate"},
      {"ls", "--limit", "many"},
      {"stat"},
      {"put"},
      {"get", "a", "b", "c"},
      {"ping", "-o", "xml"},
      {"ping", "--timeout", "soon"},
      {"stat", "bad\\key"},
      {"stat", ""},
      {"rm"},
      {"rm", "k", "--all"},
      {"rm", "--all", "--prefix", "p"},
      {"pin"},
      {"pin", "k", "--ttl", "25h"},
      {"pin", "k", "--owner", ""},
      {"pin", "k", "--list"},
      {"bench", "--transport", "pigeon"},
      {"bench", "--block_bytes", "1TiB"},
      {"replay"},
      {"replay", "t", "--model", "gpt-9"},
      {"replay", "t", "--model", "llama-3-8b", "--block_bytes", "1KiB"},
      {"replay", "t", "--concurrency", "0"},
      {"replay", "t", "--seconds", "-1"},
      {"replay", "t", "--speedup", "-1"},
  };
  for (const auto& arguments : wrong) {
    EXPECT_EQ(Run(arguments), ExitCode::kUsage) << ::testing::PrintToString(arguments);
    EXPECT_NE(err(), "") << ::testing::PrintToString(arguments);
    EXPECT_EQ(out(), "") << ::testing::PrintToString(arguments);
  }
  EXPECT_EQ(admin_.calls, 0u);
}

TEST_F(AppTest, AnUnknownCommandIsNamedTogetherWithTheNearest) {
  EXPECT_EQ(Run({"-o", "json", "inof", "--help-me"}), ExitCode::kUsage);
  EXPECT_NE(err().find("no command `inof`; did you mean `info`?"), std::string::npos) << err();
}

TEST_F(AppTest, TheServerComesFromTheOptionElseFromTheEnvironment) {
  environment_.default_server = "env:1";
  Run({"ping"});
  EXPECT_EQ(admin_options_.address, "env:1");
  Run({"--server", "before:1", "ping"});
  EXPECT_EQ(admin_options_.address, "before:1");
  Run({"ping", "--server", "after:1", "--timeout", "250ms"});
  EXPECT_EQ(admin_options_.address, "after:1");
  EXPECT_EQ(admin_options_.timeout, std::chrono::milliseconds(250));
}

TEST_F(AppTest, AnUnreachableNodeIsFiveAndToldWithWhatToDo) {
  admin_.failure = absl::UnavailableError("connection refused");
  connect_failure_ = absl::UnavailableError("connection refused");
  const std::string key = "k", file = WriteFile("unreachable", "bytes");
  const std::string trace =
      WriteFile("one.jsonl",
                R"({"timestamp":0,"input_length":1,"output_length":1,"hash_ids":[1]})");
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"ping"},
                                             {"ls"},
                                             {"stat", key},
                                             {"exists", key},
                                             {"rm", key},
                                             {"pin", key},
                                             {"unpin"},
                                             {"info"},
                                             {"put", key, file},
                                             {"get", key, file + ".out"},
                                             {"replay", trace},
                                             {"bench"}}) {
    EXPECT_EQ(Run(arguments), ExitCode::kUnreachable) << arguments[0];
    EXPECT_EQ(out(), "");
    EXPECT_NE(err().find("kvasir: cannot reach 127.0.0.1:7450: connection refused"),
              std::string::npos)
        << err();
    EXPECT_NE(err().find("--server HOST:PORT or KVASIR_SERVER"), std::string::npos);
  }
}

TEST_F(AppTest, ANodeThatDrainsIsAnErrorButNotUnreachable) {
  admin_.failure = WithReason(absl::UnavailableError("pin: no"), kReasonDraining);
  EXPECT_EQ(Run({"pin", "k"}), ExitCode::kError);
  EXPECT_NE(err().find("is draining"), std::string::npos);
}

TEST_F(AppTest, OtherErrorsAreOneAndSaidInTheNodesWords) {
  admin_.failure = absl::InternalError("list: the index is upside down");
  EXPECT_EQ(Run({"ls"}), ExitCode::kError);
  EXPECT_EQ(err(), "kvasir: list: the index is upside down\n");
}

TEST_F(AppTest, OutputThatCannotBeWrittenIsAnError) {
  std::ostringstream broken;
  broken.setstate(std::ios::badbit);
  std::ostringstream err;
  environment_.out = &broken;
  environment_.err = &err;
  environment_.in = &in_;
  EXPECT_EQ(RunApp({"ping"}, environment_), ExitCode::kError);
  EXPECT_EQ(err.str(), "kvasir: standard output cannot be written\n");
}

TEST_F(AppTest, PingTellsWhoAnswered) {
  admin_.info.set_node_name("n0");
  admin_.info.set_epoch(0xfedcba9876543210);
  admin_.info.set_uptime_ms(65'000);
  EXPECT_EQ(Run({"ping", "--count", "3"}), ExitCode::kOk);
  EXPECT_EQ(admin_.calls, 3u);
  EXPECT_NE(out().find("n0 at 127.0.0.1:7450, epoch fedcba9876543210, up 65.0 s"),
            std::string::npos)
      << out();
  EXPECT_EQ(Run({"ping", "-o", "json"}), ExitCode::kOk);
  EXPECT_EQ(json()["node_name"], "n0");
  EXPECT_EQ(json()["epoch"], "fedcba9876543210");
  EXPECT_TRUE(json()["round_trip_us"]["p50"].is_number());
}

TEST_F(AppTest, InfoShowsNodeSessionsTransportsAndCounters) {
  admin_.info.set_node_name("n0");
  admin_.info.set_health("HEALTHY");
  admin_.info.set_memory_bytes(uint64_t{1} << 30);
  admin_.info.add_transports(v1::TRANSPORT_KIND_SHM);
  admin_.info.add_transports(v1::TRANSPORT_KIND_TCP);
  v1::SessionInfo* const session = admin_.info.add_sessions();
  session->set_session("0a1b2c3d");
  session->set_client_name("engine");
  session->set_pid(42);
  admin_.info.set_data_dir("/data");
  admin_.info.set_write_policy("write_through");
  (*admin_.stats.mutable_values())["blocks"] = 7;
  (*admin_.stats.mutable_values())["tier_blocks"] = 9;
  (*admin_.stats.mutable_values())["evictions_total"] = 0;

  EXPECT_EQ(Run({"info"}), ExitCode::kOk);
  for (const char* part :
       {"n0", "HEALTHY", "shm, tcp", "0a1b2c3d", "engine", "7 blocks with 0 B of 1 GiB",
        "9 blocks with 0 B of 0 B, write_through, in /data"}) {
    EXPECT_NE(out().find(part), std::string::npos) << part << "\n" << out();
  }
  EXPECT_EQ(out().find("evictions_total"), std::string::npos) << "zero: only with --all";
  Run({"info", "--all"});
  EXPECT_NE(out().find("evictions_total"), std::string::npos);

  EXPECT_EQ(Run({"info", "-o", "json"}), ExitCode::kOk);
  EXPECT_EQ(json()["transports"], (std::vector<std::string>{"shm", "tcp"}));
  EXPECT_EQ(json()["sessions"][0]["pid"], 42);
  EXPECT_EQ(json()["stats"]["blocks"], 7);
  EXPECT_EQ(json()["stats"]["evictions_total"], 0);
}

TEST_F(AppTest, ListsKeysPageByPageInByteOrder) {
  for (int i = 0; i < 2500; ++i) Store("k/" + std::to_string(10'000 + i), "bytes");
  Store("other", "x");
  EXPECT_EQ(Run({"ls", "k/", "--limit", "0", "-o", "json"}), ExitCode::kOk);
  const Json all = json();
  EXPECT_EQ(all["keys"].size(), 2500u);
  EXPECT_EQ(all["keys"][2499]["key"], "k/12499");
  EXPECT_EQ(all["keys"][0]["size_bytes"], 5);
  EXPECT_EQ(all["next_page_token"], "");
  EXPECT_EQ(admin_.calls, 3u);

  EXPECT_EQ(Run({"ls", "k/", "--limit", "2"}), ExitCode::kOk);
  EXPECT_EQ(out(),
            "        SIZE  WHERE     REFS  KEY\n"
            "         5 B  memory       0  k/10000\n"
            "         5 B  memory       0  k/10001\n");
  EXPECT_EQ(err(), "kvasir: there are more keys: --limit 0, or --page_token 2\n");
  Run({"ls", "k/", "--limit", "1", "--page_token", "2", "-o", "json"});
  EXPECT_EQ(json()["keys"][0]["key"], "k/10002");
}

TEST_F(AppTest, KeysOfAnyBytesAreShownInFullAndReadBack) {
  const std::string key = std::string("a\0\\\xff", 4) + std::string(300, 'k');
  Store(key, "bytes", "\1");
  Run({"ls", "-o", "json"});
  const std::string text = json()["keys"][0]["key"];
  EXPECT_EQ(text, "a\\x00\\x5c\\xff" + std::string(300, 'k'));
  EXPECT_EQ(json()["keys"][0]["attributes"], "\\x01");
  EXPECT_EQ(Run({"exists", text}), ExitCode::kOk);
}

TEST_F(AppTest, ExistsTellsAllSomeAndNoneApart) {
  Store("a", "v");
  EXPECT_EQ(Run({"exists", "a"}), ExitCode::kOk);
  EXPECT_EQ(Run({"exists", "b"}), ExitCode::kNotFound);
  EXPECT_EQ(Run({"exists", "a", "b"}), ExitCode::kPartial);
  EXPECT_EQ(out(), "WHERE   KEY\nmemory  a\nabsent  b\n");
  EXPECT_EQ(Run({"exists", "a", "b", "-o", "json"}), ExitCode::kPartial);
  EXPECT_EQ(json()["keys"][0]["exists"], true);
  EXPECT_EQ(json()["keys"][1]["residency"], "absent");
}

TEST_F(AppTest, StatTellsAllSomeAndNoneApart) {
  Store("a", "12345", "shape");
  EXPECT_EQ(Run({"stat", "a"}), ExitCode::kOk);
  EXPECT_NE(out().find("size        5 B (5 bytes)"), std::string::npos) << out();
  EXPECT_NE(out().find("attributes  shape"), std::string::npos);
  EXPECT_EQ(Run({"stat", "b"}), ExitCode::kNotFound);
  EXPECT_EQ(err(), "kvasir: b is not stored\n");
  EXPECT_EQ(Run({"stat", "a", "b", "-o", "json"}), ExitCode::kPartial);
  EXPECT_EQ(json()["keys"].size(), 1u);
  EXPECT_EQ(json()["missing"], std::vector<std::string>{"b"});
}

TEST_F(AppTest, RmRemovesKeysPrefixesOrEverything) {
  for (const char* key : {"a", "p/1", "p/2", "z"}) Store(key, "v");
  EXPECT_EQ(Run({"rm", "a", "b"}), ExitCode::kPartial);
  EXPECT_EQ(out(), "removed 1 of 2 keys\n");
  EXPECT_EQ(err(), "kvasir: b: not stored\n");
  EXPECT_EQ(Run({"rm", "a"}), ExitCode::kNotFound);
  EXPECT_EQ(Run({"rm", "--prefix", "p/", "-o", "json"}), ExitCode::kOk);
  EXPECT_EQ(json()["removed"], 2);
  EXPECT_EQ(store_.size(), 1u);
  EXPECT_EQ(Run({"rm", "--all"}), ExitCode::kOk);
  EXPECT_EQ(store_.size(), 0u);
}

TEST_F(AppTest, PinsAreMadeListedAndDropped) {
  Store("a", "v");
  Store("b", "v");
  EXPECT_EQ(Run({"pin", "a", "b", "--owner", "me", "--ttl", "90s", "-o", "json"}),
            ExitCode::kOk);
  EXPECT_EQ(json()["pinned"], 2);
  EXPECT_EQ(admin_.pins[0].ttl_left_ms(), 90'000u);
  EXPECT_EQ(Run({"pin", "c"}), ExitCode::kNotFound);
  EXPECT_EQ(Run({"pin", "a", "c", "--owner", "you"}), ExitCode::kPartial);

  EXPECT_EQ(Run({"pin", "--list"}), ExitCode::kOk);
  EXPECT_EQ(out(),
            "OWNER    TTL LEFT  SIZE  KEY\n"
            "me         90.0 s   1 B  a\n"
            "me         90.0 s   1 B  b\n"
            "you    10 min 0 s   1 B  a\n");
  EXPECT_EQ(Run({"unpin", "a", "--owner", "me"}), ExitCode::kOk);
  EXPECT_EQ(Run({"unpin", "a", "--owner", "me"}), ExitCode::kNotFound);
  EXPECT_EQ(Run({"unpin", "a", "b", "--owner", "me"}), ExitCode::kPartial);
  EXPECT_EQ(Run({"unpin", "--owner", "you", "-o", "json"}), ExitCode::kOk);
  EXPECT_EQ(json()["unpinned"], 1);
  EXPECT_TRUE(admin_.pins.empty());
}

TEST_F(AppTest, MoreKeysThanACallTakesGoInSeveral) {
  std::vector<std::string> arguments = {"rm"};
  for (int i = 0; i < 2000; ++i) {
    arguments.push_back("k" + std::to_string(i));
    Store(arguments.back(), "v");
  }
  EXPECT_EQ(Run(arguments), ExitCode::kOk);
  EXPECT_EQ(out(), "removed 2000 of 2000 keys\n");
  EXPECT_EQ(admin_.calls, 2u);
}

}  // namespace
}  // namespace kvasir
