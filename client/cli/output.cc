#include "client/cli/output.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace kvasir {
namespace {

std::string Pad(std::string_view text, size_t width, Table::Align align) {
  return align == Table::Align::kLeft ? fmt::format("{:<{}}", text, width)
                                      : fmt::format("{:>{}}", text, width);
}

void AppendLine(std::string line, std::string* text) {
  while (!line.empty() && line.back() == ' ') line.pop_back();
  *text += line + "\n";
}

}  // namespace

void Table::AddRow(std::vector<std::string> cells) {
  KV_CHECK(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::Render() const {
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t width = columns_[c].heading.size();
    for (const auto& row : rows_) width = std::max(width, row[c].size());
    widths.push_back(width);
  }
  std::string text, line;
  for (size_t c = 0; c < columns_.size(); ++c) {
    line += Pad(columns_[c].heading, widths[c], columns_[c].align) + "  ";
  }
  AppendLine(line, &text);
  for (const auto& row : rows_) {
    line.clear();
    for (size_t c = 0; c < row.size(); ++c) {
      line += Pad(row[c], widths[c], columns_[c].align) + "  ";
    }
    AppendLine(line, &text);
  }
  return text;
}

void Properties::Add(std::string name, std::string value) {
  lines_.emplace_back(std::move(name), std::move(value));
}

std::string Properties::Render() const {
  size_t width = 0;
  for (const auto& [name, value] : lines_) width = std::max(width, name.size());
  std::string text;
  for (const auto& [name, value] : lines_) {
    AppendLine(fmt::format("{:<{}}  {}", name, width, value), &text);
  }
  return text;
}

void WriteJson(std::ostream& out, const Json& object) {
  // Bytes that are no UTF-8 have been escaped before; `replace` only keeps dump from
  // throwing if one slips through.
  out << object.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

Json ToJson(const Percentiles& percentiles) {
  return {{"p50", percentiles.p50_us},
          {"p95", percentiles.p95_us},
          {"p99", percentiles.p99_us}};
}

}  // namespace kvasir
