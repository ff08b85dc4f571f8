#include "client/cli/output.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "client/cli/progress.h"
#include "tests/support/manual_clock.h"

namespace kvasir {
namespace {

TEST(Table, AlignsColumnsAndLeavesNoBlanksAtTheEnd) {
  Table table({{"KEY"}, {"SIZE", Table::Align::kRight}, {"WHERE"}});
  table.AddRow({"a", "1024 B", "disk"});
  table.AddRow({"longer", "1 B", "memory"});
  EXPECT_EQ(table.Render(),
            "KEY       SIZE  WHERE\n"
            "a       1024 B  disk\n"
            "longer     1 B  memory\n");
}

TEST(Properties, AlignsValues) {
  Properties properties;
  properties.Add("size", "1 B");
  properties.Add("attributes", "none");
  EXPECT_EQ(properties.Render(), "size        1 B\nattributes  none\n");
}

TEST(Json, IsOneObjectInTheOrderItWasMade) {
  std::ostringstream out;
  WriteJson(out, {{"z", 1}, {"a", "x"}});
  EXPECT_EQ(out.str(), "{\n  \"z\": 1,\n  \"a\": \"x\"\n}\n");
}

TEST(Json, BytesThatAreNoTextDoNotBreakIt) {
  std::ostringstream out;
  WriteJson(out, {{"k", "\xff\xfe"}});
  EXPECT_TRUE(Json::accept(out.str())) << out.str();
}

class ProgressTest : public ::testing::Test {
 protected:
  Progress::Options Options(bool terminal) {
    return {.err = &err_,
            .terminal = terminal,
            .clock = &clock_,
            .label = "load",
            .total = 200};
  }
  ManualClock clock_;
  std::ostringstream err_;
};

TEST_F(ProgressTest, WithoutATerminalItIsALineEveryFiveSeconds) {
  {
    Progress progress(Options(false));
    for (int second = 1; second <= 12; ++second) {
      clock_.Advance(std::chrono::seconds(1));
      progress.Update(static_cast<uint64_t>(second) * 10, "fine");
    }
  }
  EXPECT_EQ(err_.str(), "load: 50 of 200 (25 %), fine\nload: 100 of 200 (50 %), fine\n");
}

TEST_F(ProgressTest, AShortCommandShowsNothing) {
  {
    Progress progress(Options(true));
    progress.Update(1, "fine");
  }
  EXPECT_EQ(err_.str(), "");
}

TEST_F(ProgressTest, OnATerminalTheBarRedrawsAndGoes) {
  {
    Progress progress(Options(true));
    clock_.Advance(std::chrono::milliseconds(100));
    progress.Update(100, "long detail");
    clock_.Advance(std::chrono::milliseconds(100));
    progress.Update(200, "end");
  }
  const std::string first = "load [============            ]  50 %  100/200  long detail";
  const std::string second = "load [========================] 100 %  200/200  end";
  const std::string blanks(first.size() - second.size(), ' ');
  EXPECT_EQ(err_.str(), "\r" + first + "\r" + second + blanks + "\r" +
                            std::string(second.size(), ' ') + "\r");
}

}  // namespace
}  // namespace kvasir
