#ifndef KVASIR_TESTS_INTEGRATION_FAULTS_WHOLE_BLOCKS_H_
#define KVASIR_TESTS_INTEGRATION_FAULTS_WHOLE_BLOCKS_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "client/client.h"

namespace kvasir {

// Blocks of any size; nothing: a miss.
using WholeBlocks = std::vector<std::optional<std::vector<std::byte>>>;

// One call of Client::Get, with room for whatever comes.
WholeBlocks GetWhole(Client* client, std::span<const std::string_view> keys);
// The same, again and again until what misses is what the server says it does not have.
WholeBlocks GetAllThereIs(Client* client, std::span<const std::string_view> keys);

}  // namespace kvasir

#endif  // KVASIR_TESTS_INTEGRATION_FAULTS_WHOLE_BLOCKS_H_
