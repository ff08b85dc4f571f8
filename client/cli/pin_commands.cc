#include "client/cli/pin_commands.h"

#include <fmt/core.h>

#include <chrono>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/limits.h"
#include "client/cli/arguments.h"
#include "client/cli/outcomes.h"
#include "client/cli/output.h"
#include "kvasir/v1/admin.pb.h"

namespace kvasir {
namespace {

absl::Status CheckOwner(std::string_view owner) {
  if (!owner.empty() && owner.size() <= kMaxOwnerBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "--owner: a name of {} bytes; want 1 to {}", owner.size(), kMaxOwnerBytes));
}

absl::StatusOr<std::chrono::milliseconds> ParseTtl(const std::string& text) {
  auto ttl = ParseDuration(text);
  if (ttl.ok() && *ttl > kMaxPinTtl) {
    return absl::InvalidArgumentError(
        fmt::format("--ttl {}: a pin lasts at most {} h", text, kMaxPinTtl.count()));
  }
  return ttl;
}

Json PinJson(const v1::PinInfo& pin) {
  return {{"key", KeyText(pin.key())},
          {"owner", PrintableKey(pin.owner(), SIZE_MAX)},
          {"size_bytes", pin.size_bytes()},
          {"ttl_left_ms", pin.ttl_left_ms()}};
}

}  // namespace

PinCommands::PinCommands(CLI::App* app, Invocation* invocation)
    : invocation_(invocation) {
  CLI::App* const pin =
      app->add_subcommand("pin", "Keep blocks in memory for a while, or list pins");
  auto* const keys = pin->add_option("keys", keys_, "Keys; \\xNN is a byte");
  pin->add_option("--owner", owner_, "Whose pins they are")->capture_default_str();
  pin->add_option("--ttl", ttl_text_, "For how long: 500ms, 30s, 10m, 2h")
      ->capture_default_str();
  pin->add_flag("--list", list_, "List every pin of the node")->excludes(keys);
  pin->callback(
      [this] { invocation_->Run([this] { return list_ ? ListPins() : Pin(); }); });

  CLI::App* const unpin = app->add_subcommand("unpin", "Drop pins of an owner");
  unpin->add_option("keys", keys_, "Only on these keys; \\xNN is a byte");
  unpin->add_option("--owner", owner_, "Whose pins")->capture_default_str();
  unpin->callback([this] { invocation_->Run([this] { return Unpin(); }); });
}

absl::StatusOr<ExitCode> PinCommands::Pin() {
  if (keys_.empty()) return absl::InvalidArgumentError("pin: name keys, or --list");
  const auto keys = ParseKeys(keys_);
  if (!keys.ok()) return keys.status();
  const auto ttl = ParseTtl(ttl_text_);
  if (!ttl.ok()) return ttl.status();
  if (absl::Status status = CheckOwner(owner_); !status.ok()) return status;
  const auto admin = invocation_->Admin();
  if (!admin.ok()) return admin.status();
  v1::PinRequest base;
  base.set_owner(owner_);
  base.set_ttl_ms(static_cast<uint32_t>(ttl->count()));
  const auto outcomes = ForEachBatch<v1::PinRequest>(
      *keys, [&](const v1::PinRequest& request) { return (*admin)->Pin(request); }, base);
  if (!outcomes.ok()) return outcomes.status();
  const OutcomeSummary summary = Summarize(*keys, *outcomes);
  for (const std::string& remark : summary.remarks) invocation_->Note(remark);
  invocation_->Print(
      [&] {
        return fmt::format("pinned {} of {} keys for {} as {}\n", summary.done,
                           keys->size(), ttl_text_, owner_);
      },
      [&]() -> Json {
        return {{"pinned", summary.done},
                {"missing", summary.missing},
                {"owner", owner_},
                {"ttl_ms", ttl->count()}};
      });
  return summary.exit_code;
}

absl::StatusOr<ExitCode> PinCommands::ListPins() {
  const auto admin = invocation_->Admin();
  if (!admin.ok()) return admin.status();
  using Align = Table::Align;
  Table table({{"OWNER"}, {"TTL LEFT", Align::kRight}, {"SIZE", Align::kRight}, {"KEY"}});
  Json pins = Json::array();
  v1::ListPinsRequest request;
  request.set_page_size(kMaxListPageSize);
  do {
    const auto page = (*admin)->ListPins(request);
    if (!page.ok()) return page.status();
    for (const v1::PinInfo& pin : page->pins()) {
      table.AddRow({PrintableKey(pin.owner()),
                    FormatDuration(std::chrono::milliseconds(pin.ttl_left_ms())),
                    FormatSize(pin.size_bytes()), KeyText(pin.key())});
      pins.push_back(PinJson(pin));
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  invocation_->Print([&] { return table.Render(); },
                     [&]() -> Json {
                       return {{"pins", pins}};
                     });
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> PinCommands::Unpin() {
  const auto keys = ParseKeys(keys_);
  if (!keys.ok()) return keys.status();
  if (absl::Status status = CheckOwner(owner_); !status.ok()) return status;
  const auto admin = invocation_->Admin();
  if (!admin.ok()) return admin.status();
  v1::UnpinRequest request;
  request.set_owner(owner_);
  for (const std::string& key : *keys) request.add_keys()->set_key(key);
  const auto response = (*admin)->Unpin(request);
  if (!response.ok()) return response.status();
  const size_t dropped = response->unpinned_count();
  invocation_->Print(
      [&] { return fmt::format("dropped {} pins of {}\n", dropped, owner_); },
      [&]() -> Json {
        return {{"unpinned", dropped}, {"owner", owner_}};
      });
  // Of keys that were named, each should have had a pin; an owner may have none left.
  return keys->empty() ? ExitCode::kOk : ExitCodeOfCount(dropped, keys->size());
}

}  // namespace kvasir
