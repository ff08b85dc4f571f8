#include "client/cli/key_commands.h"

#include <fmt/core.h>

#include <functional>
#include <limits>
#include <span>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/count_text.h"
#include "base/limits.h"
#include "client/cli/arguments.h"
#include "client/cli/outcomes.h"
#include "client/cli/output.h"
#include "kvasir/v1/admin.pb.h"

namespace kvasir {
namespace {

constexpr char kKeysHelp[] = "Keys; \\xNN is a byte";

Json InfoJson(const v1::KeyInfo& info) {
  return {{"key", KeyText(info.key())},
          {"size_bytes", info.size_bytes()},
          {"residency", ResidencyText(info.residency())},
          {"checksum", fmt::format("{:016x}", info.checksum())},
          {"attributes", KeyText(info.attributes())},
          {"references", info.references()},
          {"generation", info.generation()}};
}

std::string InfoText(const v1::KeyInfo& info) {
  Properties text;
  text.Add("key", KeyText(info.key()));
  text.Add("size", fmt::format("{} ({} bytes)", FormatSize(info.size_bytes()),
                               info.size_bytes()));
  text.Add("where", ResidencyText(info.residency()));
  text.Add("checksum", fmt::format("{:016x}", info.checksum()));
  text.Add("attributes", info.attributes().empty() ? "none" : KeyText(info.attributes()));
  text.Add("references", std::to_string(info.references()));
  text.Add("generation", std::to_string(info.generation()));
  return text.Render();
}

// Keys last: they may be long, and rows come page by page.
std::string PageText(const v1::ListResponse& page, bool heading) {
  std::string text;
  if (heading)
    text = fmt::format("{:>12}  {:<8}  {:>4}  {}\n", "SIZE", "WHERE", "REFS", "KEY");
  for (const v1::KeyInfo& info : page.keys()) {
    text += fmt::format("{:>12}  {:<8}  {:>4}  {}\n", FormatSize(info.size_bytes()),
                        ResidencyText(info.residency()), info.references(),
                        KeyText(info.key()));
  }
  return text;
}

}  // namespace

KeyCommands::KeyCommands(CLI::App* app, Invocation* invocation)
    : invocation_(invocation) {
  CLI::App* const ls = app->add_subcommand("ls", "List stored keys in byte order");
  ls->add_option("prefix", prefix_, "Only keys that begin with this; \\xNN is a byte");
  ls->add_option("--limit", limit_, "At most so many; 0: all")->capture_default_str();
  ls->add_option("--page_token", page_token_, "Go on where a listing before was cut");
  ls->callback([this] { invocation_->Run([this] { return Ls(); }); });

  CLI::App* const stat = app->add_subcommand("stat", "Show what is known of keys");
  stat->add_option("keys", keys_, kKeysHelp)->required();
  stat->callback([this] { invocation_->Run([this] { return Stat(); }); });

  CLI::App* const exists = app->add_subcommand("exists", "Tell whether keys are stored");
  exists->add_option("keys", keys_, kKeysHelp)->required();
  exists->callback([this] { invocation_->Run([this] { return Exists(); }); });

  CLI::App* const rm = app->add_subcommand("rm", "Remove keys");
  auto* const keys = rm->add_option("keys", keys_, kKeysHelp);
  auto* const prefix =
      rm->add_option("--prefix", prefix_, "Every key that begins with this");
  auto* const all = rm->add_flag("--all", all_, "Every key of the node");
  prefix->excludes(keys)->excludes(all);
  all->excludes(keys);
  rm->callback([this] { invocation_->Run([this] { return Rm(); }); });
}

absl::StatusOr<ExitCode> KeyCommands::Ls() {
  const auto prefix = ParsePrefix(prefix_);
  if (!prefix.ok()) return prefix.status();
  const auto admin = invocation_->Admin();
  if (!admin.ok()) return admin.status();
  uint64_t left = limit_ == 0 ? std::numeric_limits<uint64_t>::max() : limit_;
  v1::ListRequest request;
  request.set_prefix(*prefix);
  request.set_page_token(page_token_);
  Json keys = Json::array();
  bool first = true;
  do {
    request.set_page_size(
        static_cast<uint32_t>(std::min<uint64_t>(left, kMaxListPageSize)));
    const auto page = (*admin)->List(request);
    if (!page.ok()) return page.status();
    left -= std::min<uint64_t>(left, page->keys_size());
    if (invocation_->json()) {
      for (const v1::KeyInfo& info : page->keys()) keys.push_back(InfoJson(info));
    } else {
      *invocation_->env.out << PageText(*page, first);
    }
    first = false;
    request.set_page_token(page->next_page_token());
  } while (left > 0 && !request.page_token().empty());

  if (invocation_->json()) {
    WriteJson(*invocation_->env.out,
              {{"keys", std::move(keys)}, {"next_page_token", request.page_token()}});
  } else if (!request.page_token().empty()) {
    invocation_->Note(fmt::format("there are more keys: --limit 0, or --page_token {}",
                                  request.page_token()));
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> KeyCommands::Stat() {
  const auto keys = ParseKeys(keys_);
  if (!keys.ok()) return keys.status();
  const auto admin = invocation_->Admin();
  if (!admin.ok()) return admin.status();
  Json found = Json::array(), missing = Json::array();
  std::string text;
  for (const std::string& key : *keys) {
    v1::StatRequest request;
    request.mutable_name()->set_key(key);
    const auto response = (*admin)->Stat(request);
    if (absl::IsNotFound(response.status())) {
      missing.push_back(KeyText(key));
      invocation_->Note(fmt::format("{} is not stored", PrintableKey(key)));
      continue;
    }
    if (!response.ok()) return response.status();
    text += (text.empty() ? "" : "\n") + InfoText(response->info());
    found.push_back(InfoJson(response->info()));
  }
  const size_t count = found.size();
  invocation_->Print([&] { return text; },
                     [&]() -> Json {
                       return {{"keys", found}, {"missing", missing}};
                     });
  return ExitCodeOfCount(count, keys->size());
}

absl::StatusOr<ExitCode> KeyCommands::Exists() {
  const auto keys = ParseKeys(keys_);
  if (!keys.ok()) return keys.status();
  const auto admin = invocation_->Admin();
  if (!admin.ok()) return admin.status();
  Table table({{"WHERE"}, {"KEY"}});
  Json answers = Json::array();
  size_t stored = 0;
  for (size_t first = 0; first < keys->size(); first += kMaxKeysPerCall) {
    const auto part = std::span(*keys).subspan(
        first, std::min<size_t>(kMaxKeysPerCall, keys->size() - first));
    v1::ExistsRequest request;
    for (const std::string& key : part) request.add_keys()->set_key(key);
    const auto response = (*admin)->Exists(request);
    if (!response.ok()) return response.status();
    if (static_cast<size_t>(response->residencies_size()) != part.size()) {
      return absl::InternalError(fmt::format("exists: {} answers to {} keys",
                                             response->residencies_size(), part.size()));
    }
    for (size_t i = 0; i < part.size(); ++i) {
      const v1::Residency residency = response->residencies(static_cast<int>(i));
      const bool readable = IsStored(residency);
      stored += readable ? 1 : 0;
      table.AddRow({ResidencyText(residency), KeyText(part[i])});
      answers.push_back({{"key", KeyText(part[i])},
                         {"exists", readable},
                         {"residency", ResidencyText(residency)}});
    }
  }
  invocation_->Print([&] { return table.Render(); },
                     [&]() -> Json {
                       return {{"keys", answers}};
                     });
  return ExitCodeOfCount(stored, keys->size());
}

absl::StatusOr<ExitCode> KeyCommands::Rm() {
  if (!keys_.empty()) return RmKeys();
  if (!all_ && prefix_.empty()) {
    return absl::InvalidArgumentError("rm: name keys, or --prefix PREFIX, or --all");
  }
  return Clear();
}

absl::StatusOr<ExitCode> KeyCommands::Clear() {
  const auto prefix = ParsePrefix(prefix_);
  if (!prefix.ok()) return prefix.status();
  const auto admin = invocation_->Admin();
  if (!admin.ok()) return admin.status();
  v1::ClearRequest request;
  request.set_prefix(*prefix);
  request.set_all(all_);
  const auto response = (*admin)->Clear(request);
  if (!response.ok()) return response.status();
  invocation_->Print(
      [&] {
        return fmt::format("removed {}\n", CountText(response->removed_count(), "key"));
      },
      [&]() -> Json {
        return {{"removed", response->removed_count()}};
      });
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> KeyCommands::RmKeys() {
  const auto keys = ParseKeys(keys_);
  if (!keys.ok()) return keys.status();
  const auto admin = invocation_->Admin();
  if (!admin.ok()) return admin.status();
  const auto remove = [&](const v1::RemoveKeysRequest& request) {
    return (*admin)->Remove(request);
  };
  const auto outcomes = ForEachBatch<v1::RemoveKeysRequest>(*keys, remove);
  if (!outcomes.ok()) return outcomes.status();
  const OutcomeSummary summary = Summarize(*keys, *outcomes);
  for (const std::string& remark : summary.remarks) invocation_->Note(remark);
  invocation_->Print(
      [&] { return fmt::format("removed {} of {} keys\n", summary.done, keys->size()); },
      [&]() -> Json {
        return {{"removed", summary.done}, {"missing", summary.missing}};
      });
  return summary.exit_code;
}

}  // namespace kvasir
