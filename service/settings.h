#ifndef KVASIR_SERVICE_SETTINGS_H_
#define KVASIR_SERVICE_SETTINGS_H_

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "service/config.h"

// The one list of kvasird's settings: the file, the environment, the flags and --help
// are all made from it. Internal to service/config.
namespace kvasir {

struct Setting {
  std::string_view name;   // "data_listen"
  std::string_view value;  // what --help calls its value: "HOST:PORT"
  std::string_view help;
  // Sets it from text. InvalidArgument says what is wrong and what is right; `config`
  // is unchanged then.
  absl::Status (*parse)(std::string_view text, const Machine& machine, Config* config);
  std::string (*print)(const Config& config);
  bool is_switch = false;  // the flag needs no value
};

std::span<const Setting> Settings();
const Setting* FindSetting(std::string_view name);  // Null if there is none.

// Every setting as it is when nobody sets it.
Config DefaultConfig(const Machine& machine);

}  // namespace kvasir

#endif  // KVASIR_SERVICE_SETTINGS_H_
