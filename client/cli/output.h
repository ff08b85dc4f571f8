#ifndef KVASIR_CLIENT_CLI_OUTPUT_H_
#define KVASIR_CLIENT_CLI_OUTPUT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/latency.h"

// What every command writes to standard output: text for people, or with `-o json`
// exactly one JSON object, its members in the order of the documentation.
namespace kvasir {

using Json = nlohmann::ordered_json;

enum class OutputFormat { kTable, kJson };

// Rows in aligned columns under a heading.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string heading;
    Align align = Align::kLeft;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // REQUIRES: one cell a column.
  void AddRow(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  std::string Render() const;

 private:
  const std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "name   value" lines, for one thing with several properties.
class Properties {
 public:
  void Add(std::string name, std::string value);
  std::string Render() const;

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

void WriteJson(std::ostream& out, const Json& object);

// {"p50": ..., "p95": ..., "p99": ...} in microseconds.
Json ToJson(const Percentiles& percentiles);

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_OUTPUT_H_
