#ifndef KVASIR_CLIENT_CLI_REPLAY_MODEL_PRESET_H_
#define KVASIR_CLIENT_CLI_REPLAY_MODEL_PRESET_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace kvasir {

// How large a model's KV cache is, from its published configuration:
//
//   bytes a token = layers * planes * kv_heads * head_dim * bytes a number
//
// with planes 2 (K and V), or 1 for latent attention, which keeps one vector.
struct ModelPreset {
  std::string_view name;
  uint32_t layers = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t planes = 2;

  uint64_t BytesPerToken(uint32_t bytes_per_number) const {
    return uint64_t{layers} * planes * kv_heads * head_dim * bytes_per_number;
  }
};

std::span<const ModelPreset> ModelPresets();

// The size of a block of 512 tokens. InvalidArgument names the presets there are, or
// the data types (bf16, fp16, fp8), or says that the block exceeds kMaxBlockBytes.
absl::StatusOr<uint64_t> ModelBlockBytes(std::string_view model, std::string_view dtype);

// The formula and one line a preset, for --help.
std::string DescribeModelPresets();

}  // namespace kvasir

#endif  // KVASIR_CLIENT_CLI_REPLAY_MODEL_PRESET_H_
