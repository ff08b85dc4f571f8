#include <utility>

#include "client/connector/connector.h"

namespace kvasir {

absl::StatusOr<std::unique_ptr<Connector>> Connector::Open(
    ClientOptions client_options, const ConnectorOptions& options) {
  // An engine starts with or without its cache.
  client_options.connect_lazily = true;
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(client_options);
  if (!client.ok()) return client.status();
  return std::make_unique<Connector>(*std::move(client), options);
}

}  // namespace kvasir
