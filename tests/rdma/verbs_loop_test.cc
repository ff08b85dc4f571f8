// The loop's fences, on hosts without devices: what it does with queue pairs, and when it
// says that they are gone.
#include "rdma/verbs_loop.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/rdma/fake_queue_pairs.h"

namespace kvasir {
namespace {

class VerbsLoopTest : public testing::Test {
 protected:
  void Fence(const std::string& name, size_t queues) {
    VerbsLoop::Task task{.queues = {}, .done = [this, name] { done_.push_back(name); }};
    for (size_t i = 0; i < queues; ++i) task.queues.push_back({nullptr, fake_.Make()});
    loop_->Submit(std::move(task));
  }
  void Poll() {
    loop_->Poll(std::chrono::milliseconds(0), [](const ibv_wc&) { FAIL(); });
  }

  FakeQueuePairs fake_;
  std::vector<std::string> done_;
  std::unique_ptr<VerbsLoop> loop_ = *VerbsLoop::Make({}, {.watches_devices = true});
};

TEST_F(VerbsLoopTest, AFenceStopsAndDestroysItsQueuesInAPollAndThenIsDone) {
  Fence("a", 2);
  Fence("b", 1);
  EXPECT_TRUE(done_.empty());
  EXPECT_EQ(fake_.destroys(), 0u);
  Poll();
  EXPECT_EQ(done_, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(fake_.alive(), 0u);
  EXPECT_EQ(fake_.destroyed_running(), 0u);
  Poll();
  EXPECT_EQ(done_.size(), 2u);
}

TEST_F(VerbsLoopTest, AFenceWhoseDestroyFailsIsNotDoneUntilOneSucceeds) {
  fake_.FailDestroys(EBUSY);
  Fence("stuck", 2);
  Poll();
  Poll();
  EXPECT_TRUE(done_.empty());
  EXPECT_EQ(fake_.destroys(), 4u);  // tried again
  EXPECT_EQ(fake_.alive(), 2u);
  fake_.FailDestroys(0);
  Poll();
  EXPECT_EQ(done_, std::vector<std::string>{"stuck"});
  EXPECT_EQ(fake_.alive(), 0u);
}

TEST_F(VerbsLoopTest, AFenceThatIsStuckKeepsNoOtherWaiting) {
  fake_.FailDestroys(EBUSY);
  Fence("stuck", 1);
  Poll();
  Fence("other", 0);
  Poll();
  EXPECT_EQ(done_, std::vector<std::string>{"other"});
  fake_.FailDestroys(0);
}

TEST_F(VerbsLoopTest, ALoopThatEndsSettlesWhatWaits) {
  fake_.FailDestroys(EBUSY);
  Fence("stuck", 1);
  Poll();
  Fence("waiting", 2);
  fake_.FailDestroys(0);
  loop_.reset();
  EXPECT_EQ(done_, (std::vector<std::string>{"stuck", "waiting"}));
  EXPECT_EQ(fake_.alive(), 0u);
}

}  // namespace
}  // namespace kvasir
