#include "rdma/verbs_credits.h"

#include <deque>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace kvasir {
namespace {

std::vector<size_t> Complete(VerbsCredits* credits, uint64_t sequence) {
  std::vector<size_t> tags;
  EXPECT_TRUE(credits->Complete(sequence, [&](size_t tag) { tags.push_back(tag); }));
  return tags;
}

TEST(VerbsCredits, RequestsAreBounded) {
  VerbsCredits credits({.requests_max = 3, .bytes_max = 1000});
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(credits.CanPost(10));
    credits.Post(10, i);
  }
  EXPECT_FALSE(credits.CanPost(0));
  EXPECT_EQ(Complete(&credits, 0), std::vector<size_t>{0});
  EXPECT_TRUE(credits.CanPost(10));
}

TEST(VerbsCredits, BytesAreBoundedButOneRequestAlwaysGoes) {
  VerbsCredits credits({.requests_max = 8, .bytes_max = 100});
  EXPECT_TRUE(credits.CanPost(5000));
  credits.Post(5000, 0);
  EXPECT_FALSE(credits.CanPost(1));
  EXPECT_EQ(credits.bytes_in_flight(), 5000u);
  Complete(&credits, 0);
  credits.Post(60, 1);
  EXPECT_TRUE(credits.CanPost(40));
  EXPECT_FALSE(credits.CanPost(41));
}

TEST(VerbsCredits, ACompletionSettlesAllBeforeIt) {
  VerbsCredits credits({.requests_max = 8, .bytes_max = 1000});
  for (size_t i = 0; i < 5; ++i) credits.Post(1, 10 + i);
  EXPECT_EQ(Complete(&credits, 2), (std::vector<size_t>{10, 11, 12}));
  EXPECT_EQ(credits.requests_in_flight(), 2u);
  EXPECT_EQ(Complete(&credits, 4), (std::vector<size_t>{13, 14}));
  EXPECT_EQ(credits.bytes_in_flight(), 0u);
}

TEST(VerbsCredits, ACompletionOfNothingChangesNothing) {
  VerbsCredits credits({.requests_max = 8, .bytes_max = 1000});
  credits.Post(1, 0);
  Complete(&credits, 0);
  credits.Post(1, 1);
  const auto unexpected = [](size_t) { ADD_FAILURE(); };
  EXPECT_FALSE(credits.Complete(0, unexpected));
  EXPECT_FALSE(credits.Complete(2, unexpected));
  EXPECT_EQ(credits.requests_in_flight(), 1u);
}

TEST(VerbsCredits, SomeRequestsAndLargeOnesAreSignalled) {
  VerbsCredits credits({.requests_max = 16,
                        .bytes_max = 100'000,
                        .silent_requests_max = 4,
                        .silent_bytes_max = 1000});
  std::vector<bool> signalled;
  for (const uint64_t bytes : {1, 1, 1, 1, 1, 1000, 1, 999}) {
    signalled.push_back(credits.Post(bytes, 0).signalled);
  }
  EXPECT_EQ(signalled,
            (std::vector<bool>{false, false, false, true, false, true, false, true}));
}

TEST(VerbsCredits, TheLastCanBeMadeToSignalOnce) {
  VerbsCredits credits({.requests_max = 16, .bytes_max = 1000});
  EXPECT_FALSE(credits.SignalLast());
  EXPECT_FALSE(credits.Post(1, 0).signalled);
  EXPECT_TRUE(credits.SignalLast());
  EXPECT_FALSE(credits.SignalLast());
}

// Whatever is posted and completed, nothing overflows, and a queue that stands still has
// asked for a completion.
TEST(VerbsCredits, RandomBurstsNeverOverflowNorGetStuck) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const size_t requests_max = 1 + random() % 20;
    VerbsCredits credits({.requests_max = requests_max,
                          .bytes_max = 50,
                          .silent_requests_max = 1 + random() % 12});
    std::deque<uint64_t> signalled;
    size_t posted = 0;
    size_t settled = 0;
    while (posted < 300 || settled < posted) {
      uint64_t last = 0;
      bool any = false;
      for (size_t burst = random() % 30; burst > 0 && posted < 300; --burst) {
        const uint64_t bytes = random() % 70;
        if (!credits.CanPost(bytes)) break;
        const VerbsCredits::Posting posting = credits.Post(bytes, posted++);
        last = posting.sequence;
        any = true;
        if (posting.signalled) signalled.push_back(last);
      }
      if (any && credits.SignalLast()) signalled.push_back(last);
      ASSERT_LE(credits.requests_in_flight(), requests_max);
      ASSERT_TRUE(credits.requests_in_flight() == 0 || !signalled.empty());
      if (signalled.empty()) continue;
      ASSERT_TRUE(credits.Complete(signalled.front(), [&](size_t tag) {
        ASSERT_EQ(tag, settled++);
      }));
      signalled.pop_front();
    }
    EXPECT_EQ(credits.bytes_in_flight(), 0u);
  }
}

TEST(LeastLoaded, IsTheOneWithTheFewestBytesThatHasRoom) {
  VerbsCredits a({.requests_max = 2, .bytes_max = 1000});
  VerbsCredits b({.requests_max = 2, .bytes_max = 1000});
  const VerbsCredits* const both[] = {&a, &b};
  EXPECT_EQ(LeastLoaded(both, 10), 0u);
  a.Post(10, 0);
  EXPECT_EQ(LeastLoaded(both, 10), 1u);
  b.Post(20, 0);
  EXPECT_EQ(LeastLoaded(both, 10), 0u);
  a.Post(0, 0);
  EXPECT_EQ(LeastLoaded(both, 10), 1u);
  b.Post(0, 0);
  EXPECT_EQ(LeastLoaded(both, 10), std::nullopt);
}

}  // namespace
}  // namespace kvasir
