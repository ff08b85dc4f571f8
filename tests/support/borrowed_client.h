#ifndef KVASIR_TESTS_SUPPORT_BORROWED_CLIENT_H_
#define KVASIR_TESTS_SUPPORT_BORROWED_CLIENT_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"

namespace kvasir {

// Passes everything on to a client that outlives it; Close does not go through. For code
// that wants to own its client while the test looks at it afterwards.
class BorrowedClient final : public Client {
 public:
  explicit BorrowedClient(Client* client) : client_(client) {}

  absl::StatusOr<std::unique_ptr<MemoryHandle>> Register(
      std::span<std::byte> memory) override {
    return client_->Register(memory);
  }
  LookupResult Lookup(std::span<const std::string_view> keys,
                      const LookupOptions& options) override {
    return client_->Lookup(keys, options);
  }
  std::vector<absl::Status> Get(std::span<const GetItem> items,
                                const GetOptions& options) override {
    return client_->Get(items, options);
  }
  std::vector<absl::Status> Get(std::span<const std::string_view> keys, Sink& sink,
                                const GetOptions& options) override {
    return client_->Get(keys, sink, options);
  }
  std::vector<absl::Status> Put(std::span<const PutItem> items,
                                const PutOptions& options) override {
    return client_->Put(items, options);
  }
  std::vector<absl::Status> Pin(std::span<const std::string_view> keys,
                                std::string_view owner, std::chrono::milliseconds ttl,
                                const CallOptions& options) override {
    return client_->Pin(keys, owner, ttl, options);
  }
  absl::Status Unpin(std::string_view owner, const CallOptions& options) override {
    return client_->Unpin(owner, options);
  }
  std::vector<absl::Status> Remove(std::span<const std::string_view> keys,
                                   const CallOptions& options) override {
    return client_->Remove(keys, options);
  }
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix, size_t limit,
                                                const CallOptions& options) override {
    return client_->List(prefix, limit, options);
  }
  std::vector<absl::Status> Ping(const CallOptions& options) override {
    return client_->Ping(options);
  }
  absl::StatusOr<std::vector<std::map<std::string, double>>> Stats(
      const CallOptions& options) override {
    return client_->Stats(options);
  }
  ClientCounters counters() const override { return client_->counters(); }
  std::vector<std::optional<std::string>> transports() const override {
    return client_->transports();
  }
  void Close() override {}

 private:
  Client* const client_;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_BORROWED_CLIENT_H_
