#include "service/config.h"

#include <fmt/core.h>
#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/nearest_name.h"
#include "service/settings.h"

namespace kvasir {
namespace {

constexpr std::string_view kVariablePrefix = "KVASIR_";
constexpr uintmax_t kMaxFileBytes = kMiB;

// One value as somebody wrote it, and where.
struct Value {
  const Setting* setting = nullptr;
  std::string text;
  std::string origin;  // for the banner: "flag", "KVASIR_LISTEN", "kvasir.yaml:3"
  std::string place;   // for errors: "--listen", "KVASIR_LISTEN", "kvasir.yaml:3: listen"
};

std::string VariableName(std::string_view setting) {
  std::string name(kVariablePrefix);
  for (const char c : setting) name.push_back(static_cast<char>(std::toupper(c)));
  return name;
}

std::vector<std::string_view> SettingNames() {
  std::vector<std::string_view> names;
  for (const Setting& setting : Settings()) names.push_back(setting.name);
  return names;
}

std::string_view Nearest(std::string_view name) {
  const std::vector<std::string_view> names = SettingNames();
  return NearestName(name, names);
}

// Kubernetes gives every container variables about the services of its namespace: with
// a service named kvasir, KVASIR_SERVICE_HOST or KVASIR_PORT_7450_TCP_ADDR. Other
// programs of ours read KVASIR_SERVER. None is a setting gone wrong.
bool IsForeignVariable(std::string_view name, std::string_view value) {
  if (name == "KVASIR_SERVER") return true;
  if (name.ends_with("_SERVICE_HOST")) return true;
  if (name.find("_SERVICE_PORT") != std::string_view::npos) return true;
  const bool is_link = value.starts_with("tcp://") || value.starts_with("udp://");
  if (name.ends_with("_PORT") && is_link) return true;
  const size_t port = name.find("_PORT_");
  return port != std::string_view::npos && port + 6 < name.size() &&
         std::isdigit(static_cast<unsigned char>(name[port + 6])) != 0;
}

absl::StatusOr<std::vector<Value>> FromEnvironment(
    const std::vector<std::string>& environment) {
  std::vector<Value> values;
  for (const std::string& entry : environment) {
    const size_t equals = entry.find('=');
    const std::string name = entry.substr(0, equals);
    if (!name.starts_with(kVariablePrefix) || equals == std::string::npos) continue;
    const std::string text = entry.substr(equals + 1);
    const Setting* found = nullptr;
    for (const Setting& setting : Settings()) {
      if (VariableName(setting.name) == name) found = &setting;
    }
    if (found == nullptr) {
      if (IsForeignVariable(name, text)) continue;
      return absl::InvalidArgumentError(
          fmt::format("environment: {} is no setting; did you mean {}?", name,
                      VariableName(Nearest(name.substr(kVariablePrefix.size())))));
    }
    if (!text.empty()) values.push_back({found, text, name, name});
  }
  return values;
}

// The flags as CLI11 sees them, and what was given for each.
class FlagParser {
 public:
  FlagParser() {
    app_.set_help_flag("-h,--help");
    app_.set_version_flag("--version", std::string(kVersion));
    app_.allow_extras();
    for (const Setting& setting : Settings()) {
      const std::string flag = fmt::format("--{}", setting.name);
      std::string& text = texts_[setting.name];
      options_[setting.name] =
          setting.is_switch
              ? app_.add_flag(flag, text)
              : app_.add_option(flag, text)->type_name(std::string(setting.value));
    }
  }

  absl::StatusOr<ConfigRequest::Action> Parse(std::vector<std::string> args) {
    std::reverse(args.begin(), args.end());  // CLI11 takes them last first.
    try {
      app_.parse(std::move(args));
    } catch (const CLI::CallForHelp&) {
      return ConfigRequest::Action::kHelp;
    } catch (const CLI::CallForVersion&) {
      return ConfigRequest::Action::kVersion;
    } catch (const CLI::ParseError& error) {
      return absl::InvalidArgumentError(error.what());
    }
    return ConfigRequest::Action::kRun;
  }

  absl::Status RefuseUnknown() const {
    const std::vector<std::string> extras = app_.remaining();
    if (extras.empty()) return absl::OkStatus();
    const std::string& first = extras.front();
    if (!first.starts_with('-')) {
      return absl::InvalidArgumentError(
          fmt::format("\"{}\" is no flag: kvasird takes flags only (see --help)", first));
    }
    const std::string name = first.substr(0, first.find('='));
    const std::string bare = name.substr(name.find_first_not_of('-') == std::string::npos
                                             ? name.size()
                                             : name.find_first_not_of('-'));
    return absl::InvalidArgumentError(
        fmt::format("{} is no flag; did you mean --{}?", name, Nearest(bare)));
  }

  std::vector<Value> values() const {
    std::vector<Value> values;
    for (const Setting& setting : Settings()) {
      if (options_.at(setting.name)->count() == 0) continue;
      values.push_back(
          {&setting, texts_.at(setting.name), "flag", fmt::format("--{}", setting.name)});
    }
    return values;
  }

 private:
  CLI::App app_;
  std::map<std::string_view, std::string> texts_;
  std::map<std::string_view, CLI::Option*> options_;
};

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(fmt::format("config: {} is a directory", path));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return ErrnoStatus(errno, fmt::format("config: open {}", path));
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        fmt::format("config: {} is larger than the {} bytes that settings may take", path,
                    kMaxFileBytes));
  }
  return text;
}

absl::StatusOr<Value> FromEntry(const YAML::Node& key, const YAML::Node& value,
                                const std::string& path) {
  const std::string place = fmt::format("{}:{}", path, key.Mark().line + 1);
  const std::string name = key.IsScalar() ? key.Scalar() : std::string();
  const Setting* const setting = FindSetting(name);
  if (setting == nullptr) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: \"{}\" is no setting; did you mean {}?", place, name, Nearest(name)));
  }
  if (name == "config") {
    return absl::InvalidArgumentError(
        fmt::format("{}: config cannot be set in the file itself", place));
  }
  if (!value.IsScalar()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {} takes one value, not {}", place, name,
                    value.IsNull() ? "nothing" : "a list or a map"));
  }
  return Value{setting, value.Scalar(), place, fmt::format("{}: {}", place, name)};
}

absl::StatusOr<std::vector<Value>> FromYaml(const std::string& text,
                                            const std::string& path) {
  YAML::Node root;
  try {
    root = YAML::Load(text);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: not YAML: {}", path, error.mark.line + 1, error.msg));
  }
  std::vector<Value> values;
  if (root.IsNull()) return values;
  if (!root.IsMap()) {
    return absl::InvalidArgumentError(
        fmt::format("{}:1: not settings; write one `name: value` a line", path));
  }
  std::set<const Setting*> seen;
  for (const auto& entry : root) {
    absl::StatusOr<Value> value = FromEntry(entry.first, entry.second, path);
    if (!value.ok()) return value.status();
    if (!seen.insert(value->setting).second) {
      return absl::InvalidArgumentError(fmt::format("{} is set twice", value->place));
    }
    values.push_back(*std::move(value));
  }
  return values;
}

// Only the environment and the flags can name the file, which comes before both.
std::string PathIn(const std::vector<Value>& variables, const std::vector<Value>& flags) {
  std::string path;
  for (const std::vector<Value>* values : {&variables, &flags}) {
    for (const Value& value : *values) {
      if (value.setting->name == "config") path = value.text;
    }
  }
  return path;
}

absl::StatusOr<std::vector<Value>> FromFile(const std::string& path) {
  if (path.empty()) return std::vector<Value>();
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  return FromYaml(*text, path);
}

absl::Status Apply(const std::vector<Value>& values, const Machine& machine,
                   ConfigRequest* request) {
  for (const Value& value : values) {
    const absl::Status status =
        value.setting->parse(value.text, machine, &request->config);
    if (!status.ok()) {
      const std::string message(status.message().data(), status.message().size());
      return absl::InvalidArgumentError(fmt::format("{}: {}", value.place, message));
    }
    request->origins[std::string(value.setting->name)] = value.origin;
  }
  return absl::OkStatus();
}

// What settings must hold together.
absl::Status Validate(const ConfigRequest& request) {
  const Config& config = request.config;
  const std::pair<std::string_view, const ListenAddress*> listeners[] = {
      {"listen", &config.listen},
      {"data_listen", &config.data_listen},
      {"http_listen", &config.http_listen},
  };
  for (const auto& [name, address] : listeners) {
    if (address->loopback() || config.insecure) continue;
    const auto origin = request.origins.find(name);
    return absl::InvalidArgumentError(fmt::format(
        "{}: {} ({}) is not a loopback address, and this version has no TLS: whoever "
        "reaches it could read and write everything. Use 127.0.0.1, or say --insecure if "
        "the network keeps strangers out",
        name, address->ToString(),
        origin == request.origins.end() ? "default" : origin->second));
  }
  if (config.data_dir.empty() && config.disk_bytes != 0) {
    return absl::InvalidArgumentError(fmt::format(
        "disk: {} ({}) without a directory: data_dir says where the disk tier is",
        FormatSize(config.disk_bytes), request.origins.find("disk")->second));
  }
  return absl::OkStatus();
}

// Help text in lines of at most 78 columns, indented.
std::string Wrapped(std::string_view text, size_t indent) {
  constexpr size_t kColumns = 78;
  std::istringstream words{std::string(text)};
  std::string wrapped, line, word;
  while (words >> word) {
    if (!line.empty() && indent + line.size() + 1 + word.size() > kColumns) {
      wrapped += fmt::format("{:{}}{}\n", "", indent, line);
      line.clear();
    }
    line += line.empty() ? word : " " + word;
  }
  return wrapped + fmt::format("{:{}}{}\n", "", indent, line);
}

}  // namespace

absl::StatusOr<ConfigRequest> LoadConfig(const ConfigSources& sources) {
  FlagParser flags;
  ConfigRequest request{.config = DefaultConfig(sources.machine)};
  const absl::StatusOr<ConfigRequest::Action> action = flags.Parse(sources.args);
  if (!action.ok()) return action.status();
  request.action = *action;
  if (request.action != ConfigRequest::Action::kRun) return request;
  if (absl::Status known = flags.RefuseUnknown(); !known.ok()) return known;

  const absl::StatusOr<std::vector<Value>> variables =
      FromEnvironment(sources.environment);
  if (!variables.ok()) return variables.status();
  const std::vector<Value> given = flags.values();
  const absl::StatusOr<std::vector<Value>> file = FromFile(PathIn(*variables, given));
  if (!file.ok()) return file.status();
  for (const std::vector<Value>* values : {&*file, &*variables, &given}) {
    absl::Status applied = Apply(*values, sources.machine, &request);
    if (!applied.ok()) return applied;
  }
  if (absl::Status valid = Validate(request); !valid.ok()) return valid;
  return request;
}

std::string ConfigHelp(const Machine& machine) {
  const Config defaults = DefaultConfig(machine);
  std::string help =
      "kvasird: the node of Kvasir, a remote KV-cache store for LLM inference.\n"
      "\n"
      "Usage: kvasird [--NAME VALUE]...\n"
      "\n"
      "Each setting may also stand in the YAML file that --config names, as\n"
      "`name: value`, or in the environment, as KVASIR_NAME. Flags win over the\n"
      "environment, the environment over the file. Defaults are in brackets.\n"
      "\n";
  for (const Setting& setting : Settings()) {
    help += fmt::format("  --{}{}{}\n", setting.name, setting.value.empty() ? "" : " ",
                        setting.value);
    const std::string value = setting.print(defaults);
    const std::string shown = value.empty() ? "none" : value;
    help += Wrapped(fmt::format("{} [{}]", setting.help, shown), 6);
  }
  help += "  --help\n      Print this and exit.\n";
  help += "  --version\n      Print the version and exit.\n";
  return help;
}

std::string DescribeConfig(const ConfigRequest& request) {
  std::string text;
  for (const Setting& setting : Settings()) {
    const std::string value = setting.print(request.config);
    const auto origin = request.origins.find(setting.name);
    text += fmt::format("\n  {:<16} {:<24} {}", setting.name, value.empty() ? "-" : value,
                        origin == request.origins.end() ? "default" : origin->second);
  }
  return text;
}

}  // namespace kvasir
