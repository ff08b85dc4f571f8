#include "client/cli/data_commands.h"

#include <fmt/core.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/fd.h"
#include "base/limits.h"
#include "client/cli/arguments.h"
#include "client/cli/output.h"
#include "kvasir/v1/admin.pb.h"

namespace kvasir {
namespace {

// Takes whatever size the block has.
class StringSink final : public Sink {
 public:
  void Place(std::span<Landing> landings) override {
    for (Landing& landing : landings) {
      bytes_.resize(landing.size_bytes);
      attributes_ = landing.attributes;
      landing.local = std::as_writable_bytes(std::span(bytes_));
    }
  }
  const std::string& bytes() const { return bytes_; }
  const std::string& attributes() const { return attributes_; }

 private:
  std::string bytes_, attributes_;
};

absl::StatusOr<std::string> ReadAtMost(std::istream& in, std::string_view name) {
  std::string bytes;
  std::array<char, 1 << 16> piece;
  while (in.read(piece.data(), piece.size()) || in.gcount() > 0) {
    bytes.append(piece.data(), static_cast<size_t>(in.gcount()));
    if (bytes.size() > kMaxBlockBytes) {
      return absl::InvalidArgumentError(fmt::format(
          "{} is larger than a block may be, {}", name, FormatSize(kMaxBlockBytes)));
    }
  }
  if (in.bad()) return absl::DataLossError(fmt::format("{} cannot be read", name));
  if (bytes.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{} is empty; a block has at least 1 byte", name));
  }
  return bytes;
}

// A file that the user named and that does not open is not a key that is not stored.
absl::Status CannotOpen(int error, const std::string& file) {
  return absl::InvalidArgumentError(
      ErrnoStatus(error, fmt::format("open {}", file)).message());
}

// Why the only get of `client` missed: to an engine every reason is the same.
absl::Status WhyMissed(const Client& client, std::string_view key) {
  const ClientCounters counters = client.counters();
  const std::string name = PrintableKey(key);
  if (counters.misses_node_down > 0) {
    return absl::UnavailableError(fmt::format("get {}: the node went away", name));
  }
  if (counters.misses_late > 0) {
    return absl::DeadlineExceededError(fmt::format("get {}: not in time", name));
  }
  if (counters.misses_checksum > 0) {
    return absl::DataLossError(
        fmt::format("get {}: what arrived is not what was stored", name));
  }
  return absl::NotFoundError(fmt::format("get: {} is not stored", name));
}

}  // namespace

DataCommands::DataCommands(CLI::App* app, Invocation* invocation)
    : invocation_(invocation) {
  CLI::App* const put = app->add_subcommand("put", "Store a file or standard input");
  put->add_option("key", key_, "Key; \\xNN is a byte")->required();
  put->add_option("file", file_, "File to read; - is standard input")
      ->capture_default_str();
  put->add_flag("--replace", replace_, "Also if the key is stored already");
  AddDurableOption(put, &durable_);
  put->add_option("--attributes", attributes_, "Goes with the block; \\xNN is a byte");
  AddTransportOption(put, &transport_);
  put->callback([this] { invocation_->Run([this] { return Put(); }); });

  CLI::App* const get =
      app->add_subcommand("get", "Fetch a block to a file or standard output");
  get->add_option("key", key_, "Key; \\xNN is a byte")->required();
  get->add_option("file", file_, "File to write; - is standard output")
      ->capture_default_str();
  AddTransportOption(get, &transport_);
  get->callback([this] { invocation_->Run([this] { return Get(); }); });
}

absl::StatusOr<std::string> DataCommands::ReadInput() const {
  if (file_ == "-") return ReadAtMost(*invocation_->env.in, "standard input");
  std::ifstream in(file_, std::ios::binary);
  if (!in) return CannotOpen(errno, file_);
  return ReadAtMost(in, file_);
}

absl::Status DataCommands::WriteOutput(std::string_view bytes) const {
  if (file_ == "-") {
    invocation_->env.out->write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return absl::OkStatus();  // Run looks at the stream.
  }
  std::ofstream out(file_, std::ios::binary | std::ios::trunc);
  if (!out) return CannotOpen(errno, file_);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  return out ? absl::OkStatus() : ErrnoStatus(errno, fmt::format("write {}", file_));
}

absl::Status DataCommands::CompareWithStored(const std::string& key,
                                             std::string_view bytes) const {
  const auto admin = invocation_->Admin();
  if (!admin.ok()) return admin.status();
  v1::StatRequest request;
  request.mutable_name()->set_key(key);
  const auto stored = (*admin)->Stat(request);
  if (!stored.ok()) return stored.status();
  const uint64_t checksum = BlockChecksum(ChecksumSeed(key), AsBytes(bytes));
  if (stored->info().size_bytes() == bytes.size() &&
      stored->info().checksum() == checksum) {
    return absl::OkStatus();
  }
  return absl::AlreadyExistsError(
      fmt::format("put: {} is stored already, with other bytes; --replace puts these in "
                  "their place",
                  PrintableKey(key)));
}

absl::StatusOr<ExitCode> DataCommands::Put() {
  const auto key = ParseKey(key_);
  if (!key.ok()) return key.status();
  const auto attributes = ParsePrefix(attributes_);
  if (!attributes.ok()) return attributes.status();
  if (attributes->size() > kMaxAttributesBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "--attributes: {} bytes, at most {}", attributes->size(), kMaxAttributesBytes));
  }
  const auto bytes = ReadInput();
  if (!bytes.ok()) return bytes.status();
  const auto client = invocation_->Data(transport_, 1);
  if (!client.ok()) return client.status();
  const std::span<const std::byte> slice = AsBytes(*bytes);
  const PutItem item = {*key, std::span(&slice, 1), *attributes};
  absl::Status status =
      (*client)
          ->Put(std::span(&item, 1),
                {.replace = replace_, .durability = DurabilityNamed(durable_)})
          .front();
  const bool present = absl::IsAlreadyExists(status);
  if (present) status = CompareWithStored(*key, *bytes);
  if (!status.ok()) return status;
  invocation_->Print(
      [&] {
        return fmt::format(
            "{}: {} {} over {}\n", PrintableKey(*key), FormatSize(bytes->size()),
            present ? "stored before" : "stored", TransportsUsed(**client));
      },
      [&]() -> Json {
        return {{"key", KeyText(*key)},
                {"size_bytes", bytes->size()},
                {"stored_before", present},
                {"transport", TransportsUsed(**client)}};
      });
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> DataCommands::Get() {
  const auto key = ParseKey(key_);
  if (!key.ok()) return key.status();
  if (invocation_->json() && file_ == "-") {
    return absl::InvalidArgumentError(
        "get: with -o json name a FILE; standard output is taken by the JSON object");
  }
  const auto client = invocation_->Data(transport_, 1);
  if (!client.ok()) return client.status();
  StringSink sink;
  const std::string_view name = *key;
  absl::Status status = (*client)->Get(std::span(&name, 1), sink, {}).front();
  if (absl::IsNotFound(status)) return WhyMissed(**client, *key);
  if (status.ok()) status = WriteOutput(sink.bytes());
  if (!status.ok()) return status;
  if (invocation_->json()) {
    WriteJson(*invocation_->env.out, {{"key", KeyText(*key)},
                                      {"size_bytes", sink.bytes().size()},
                                      {"attributes", KeyText(sink.attributes())},
                                      {"file", file_},
                                      {"transport", TransportsUsed(**client)}});
  }
  return ExitCode::kOk;
}

}  // namespace kvasir
