#include "service/key_text.h"

#include <gtest/gtest.h>

#include <random>

namespace kvasir {
namespace {

TEST(KeyText, PrintableKeysAreTheirOwnText) {
  EXPECT_EQ(KeyToText("model/layer 3:abc"), "model/layer 3:abc");
  EXPECT_EQ(KeyFromText("model/layer 3:abc"), "model/layer 3:abc");
}

TEST(KeyText, OtherBytesAndTheBackslashAreEscaped) {
  EXPECT_EQ(KeyToText(std::string_view("\0\n\\\x7F\xFF", 5)),
            "\\x00\\x0a\\x5c\\x7f\\xff");
}

TEST(KeyText, WhatIsNoEscapeStandsForItself) {
  for (const std::string_view text :
       {"\\", "\\x", "\\x4", "\\xG0", "a\\n", "caf\xC3\xA9"}) {
    EXPECT_EQ(KeyFromText(text), text);
  }
  EXPECT_EQ(KeyFromText("\\x41\\X41"), "A\\X41");
}

TEST(KeyText, EveryKeyComesBackFromItsText) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string key(1 + random() % 1024, '\0');
    for (char& c : key) c = static_cast<char>(random() % 4 == 0 ? '\\' : random());
    ASSERT_EQ(KeyFromText(KeyToText(key)), key);
  }
}

}  // namespace
}  // namespace kvasir
