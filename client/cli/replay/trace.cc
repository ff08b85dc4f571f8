#include "client/cli/replay/trace.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/bytes.h"

namespace kvasir {
namespace {

using nlohmann::json;

absl::Status Wrong(std::string what) {
  return absl::InvalidArgumentError(std::move(what));
}

absl::StatusOr<uint64_t> Count(const json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end()) return Wrong(fmt::format("\"{}\" is missing", name));
  if (!it->is_number_unsigned()) {
    return Wrong(
        fmt::format("\"{}\" is {}, not a whole number from 0", name, it->dump()));
  }
  return it->get<uint64_t>();
}

absl::StatusOr<double> Timestamp(const json& object) {
  const auto it = object.find("timestamp");
  if (it == object.end()) return Wrong("\"timestamp\" is missing");
  if (!it->is_number() || it->get<double>() < 0) {
    return Wrong(fmt::format("\"timestamp\" is {}, not milliseconds from 0", it->dump()));
  }
  return it->get<double>();
}

absl::Status AppendIds(const json& object, std::vector<uint64_t>* ids) {
  const auto it = object.find("hash_ids");
  if (it == object.end()) return Wrong("\"hash_ids\" is missing");
  if (!it->is_array()) return Wrong("\"hash_ids\" is not a list");
  for (size_t i = 0; i < it->size(); ++i) {
    const json& id = (*it)[i];
    if (!id.is_number_unsigned()) {
      return Wrong(
          fmt::format("hash_ids[{}] is {}, not a whole number from 0", i, id.dump()));
    }
    ids->push_back(id.get<uint64_t>());
  }
  return absl::OkStatus();
}

absl::Status ParseLine(const std::string& line, Trace* trace) {
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return Wrong(fmt::format("not a JSON object: {}", PrintableKey(line, 60)));
  }
  TraceRequest request{.first_id = trace->hash_ids.size()};
  const absl::StatusOr<double> timestamp = Timestamp(object);
  if (!timestamp.ok()) return timestamp.status();
  request.timestamp_ms = *timestamp;
  for (const auto& [name, field] : {std::pair("input_length", &request.input_length),
                                    std::pair("output_length", &request.output_length)}) {
    const absl::StatusOr<uint64_t> count = Count(object, name);
    if (!count.ok()) return count.status();
    *field = *count;
  }
  if (absl::Status status = AppendIds(object, &trace->hash_ids); !status.ok())
    return status;
  request.id_count = trace->hash_ids.size() - request.first_id;
  trace->requests.push_back(request);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Trace> ReadTrace(std::istream& in, std::string_view name,
                                size_t requests_max) {
  Trace trace;
  std::string line;
  for (size_t number = 1; trace.requests.size() < requests_max && std::getline(in, line);
       ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (absl::Status status = ParseLine(line, &trace); !status.ok()) {
      return Wrong(fmt::format("{}:{}: {}", name, number, ToStd(status.message())));
    }
  }
  if (in.bad()) return Wrong(fmt::format("{}: cannot be read", name));
  if (trace.requests.empty()) return Wrong(fmt::format("{}: holds no request", name));
  return trace;
}

size_t IdealCache::Admit(std::span<const uint64_t> hash_ids) {
  size_t hits = 0;
  while (hits < hash_ids.size() && seen_.contains(hash_ids[hits])) ++hits;
  seen_.insert(hash_ids.begin(), hash_ids.end());
  return hits;
}

uint64_t TokensOf(const TraceRequest& request, size_t blocks) {
  return std::min<uint64_t>(request.input_length, blocks * kTraceBlockTokens);
}

}  // namespace kvasir
