#include "client/cli/replay/model_preset.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "base/limits.h"

namespace kvasir {
namespace {

TEST(ModelPreset, Llama38bIs128KiBATokenAnd64MiBABlock) {
  EXPECT_EQ(*ModelBlockBytes("llama-3-8b", "bf16"), 64 * kMiB);
  EXPECT_EQ(*ModelBlockBytes("llama-3-8b", "fp16"), 64 * kMiB);
  EXPECT_EQ(*ModelBlockBytes("llama-3-8b", "fp8"), 32 * kMiB);
}

TEST(ModelPreset, LatentAttentionKeepsOneVector) {
  // 61 layers of 512 + 64 numbers of 2 bytes, 512 tokens.
  EXPECT_EQ(*ModelBlockBytes("deepseek-v3", "bf16"), 61u * 576 * 2 * 512);
}

TEST(ModelPreset, EveryPresetFitsInABlock) {
  for (const ModelPreset& preset : ModelPresets()) {
    const auto block_bytes = ModelBlockBytes(preset.name, "bf16");
    EXPECT_TRUE(block_bytes.ok()) << block_bytes.status();
  }
}

TEST(ModelPreset, AnUnknownNameIsAnsweredWithTheKnownOnes) {
  const auto model = ModelBlockBytes("gpt-9", "bf16");
  EXPECT_TRUE(absl::IsInvalidArgument(model.status()));
  EXPECT_NE(std::string(model.status().message()).find("llama-3-8b"), std::string::npos);
  const auto dtype = ModelBlockBytes("llama-3-8b", "int3");
  EXPECT_TRUE(absl::IsInvalidArgument(dtype.status()));
  EXPECT_NE(std::string(dtype.status().message()).find("fp8"), std::string::npos);
}

TEST(ModelPreset, TheHelpShowsFormulaAndSizes) {
  const std::string text = DescribeModelPresets();
  EXPECT_NE(text.find("layers * 2 * kv_heads * head_dim * bytes"), std::string::npos);
  EXPECT_NE(
      text.find("llama-3-8b       32 * 2 * 8 * 128 * 2 =   128 KiB a token,    64 MiB"),
      std::string::npos)
      << text;
}

}  // namespace
}  // namespace kvasir
