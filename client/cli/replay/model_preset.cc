#include "client/cli/replay/model_preset.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/limits.h"
#include "client/cli/replay/trace.h"

namespace kvasir {
namespace {

// From each model's published config.json: num_hidden_layers, num_key_value_heads,
// head_dim. DeepSeek-V3: kv_lora_rank 512 + qk_rope_head_dim 64.
constexpr std::array<ModelPreset, 11> kPresets = {{
    {.name = "llama-3.2-1b", .layers = 16, .kv_heads = 8, .head_dim = 64},
    {.name = "llama-3.2-3b", .layers = 28, .kv_heads = 8, .head_dim = 128},
    {.name = "llama-3-8b", .layers = 32, .kv_heads = 8, .head_dim = 128},
    {.name = "llama-3-70b", .layers = 80, .kv_heads = 8, .head_dim = 128},
    {.name = "llama-3.1-405b", .layers = 126, .kv_heads = 8, .head_dim = 128},
    {.name = "mistral-7b", .layers = 32, .kv_heads = 8, .head_dim = 128},
    {.name = "qwen2.5-7b", .layers = 28, .kv_heads = 4, .head_dim = 128},
    {.name = "qwen2.5-72b", .layers = 80, .kv_heads = 8, .head_dim = 128},
    {.name = "qwen3-8b", .layers = 36, .kv_heads = 8, .head_dim = 128},
    {.name = "qwen3-32b", .layers = 64, .kv_heads = 8, .head_dim = 128},
    {.name = "deepseek-v3", .layers = 61, .kv_heads = 1, .head_dim = 576, .planes = 1},
}};

std::string PresetNames() {
  std::string names;
  for (const ModelPreset& preset : kPresets) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", preset.name);
  }
  return names;
}

}  // namespace

std::span<const ModelPreset> ModelPresets() { return kPresets; }

absl::StatusOr<uint64_t> ModelBlockBytes(std::string_view model, std::string_view dtype) {
  const auto preset = std::find_if(kPresets.begin(), kPresets.end(),
                                   [&](const ModelPreset& p) { return p.name == model; });
  if (preset == kPresets.end()) {
    return absl::InvalidArgumentError(
        fmt::format("model \"{}\" is none of {}", model, PresetNames()));
  }
  const bool wide = dtype == "bf16" || dtype == "fp16";
  if (!wide && dtype != "fp8") {
    return absl::InvalidArgumentError(
        fmt::format("kv dtype \"{}\" is none of bf16, fp16, fp8", dtype));
  }
  const uint64_t block_bytes = preset->BytesPerToken(wide ? 2 : 1) * kTraceBlockTokens;
  if (block_bytes > kMaxBlockBytes) {
    return absl::InvalidArgumentError(
        fmt::format("model {}: a block of {} exceeds the limit of {}", model,
                    FormatSize(block_bytes), FormatSize(kMaxBlockBytes)));
  }
  return block_bytes;
}

std::string DescribeModelPresets() {
  std::string text =
      "Model presets: a block is 512 tokens of\n"
      "  layers * 2 * kv_heads * head_dim * bytes a number\n"
      "bytes (1 instead of 2 for latent attention). In bf16:\n";
  for (const ModelPreset& preset : kPresets) {
    const uint64_t token_bytes = preset.BytesPerToken(2);
    text += fmt::format(
        "  {:<15} {:>3} * {} * {} * {:>3} * 2 = {:>9} a token, {:>9} a block\n",
        preset.name, preset.layers, preset.planes, preset.kv_heads, preset.head_dim,
        FormatSize(token_bytes), FormatSize(token_bytes * kTraceBlockTokens));
  }
  return text;
}

}  // namespace kvasir
