#include "storage/victim_queue.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace kvasir {
namespace {

// Blocks as the index leaves them: indexed, with one reference, the index's.
class VictimQueueTest : public ::testing::Test {
 protected:
  ~VictimQueueTest() override {
    for (Block* block : blocks_) Block::Delete(block);
  }
  Block* Add(const std::string& key) {
    Block* const block = Block::New(key, "", 1, 1);
    block->SetIndexed();
    blocks_.push_back(block);
    queue_.Add(block);
    return block;
  }
  // As BlockRef does it.
  void Release(Block* block) {
    while (block->Drop() == Block::Dropped::kMustUnpark) queue_.Unpark(block);
  }

  VictimQueue queue_{EvictionPolicyKind::kFifo, 1 << 20};
  std::vector<Block*> blocks_;
};

TEST_F(VictimQueueTest, AVictimComesWithAReference) {
  Block* const block = Add("a");
  EXPECT_EQ(queue_.PopIdle(), block);
  EXPECT_EQ(block->references(), 1u);
  EXPECT_EQ(queue_.PopIdle(), nullptr);
  queue_.PutBack(block);
  Release(block);
  EXPECT_EQ(queue_.PopIdle(), block);
}

TEST_F(VictimQueueTest, AHeldBlockIsParkedAndComesBackWithItsLastHolder) {
  Block* const held = Add("held");
  Block* const idle = Add("idle");
  held->Hold();
  held->Hold();
  EXPECT_EQ(queue_.PopIdle(), idle);
  EXPECT_TRUE(held->parked());
  EXPECT_EQ(queue_.PopIdle(), nullptr);
  Release(held);
  EXPECT_EQ(queue_.PopIdle(), nullptr);
  Release(held);
  EXPECT_FALSE(held->parked());
  EXPECT_EQ(queue_.PopIdle(), held);
}

TEST_F(VictimQueueTest, ARetiredBlockNeverComesBack) {
  Block* const parked = Add("parked");
  parked->Hold();
  EXPECT_EQ(queue_.PopIdle(), nullptr);
  parked->ClearIndexed();
  queue_.Retire(parked, VictimQueue::Why::kRemoved);
  EXPECT_FALSE(parked->parked());
  queue_.Unpark(parked);
  queue_.PutBack(parked);
  queue_.Add(parked);
  EXPECT_EQ(queue_.PopIdle(), nullptr);
  EXPECT_EQ(parked->Drop(), Block::Dropped::kHeld);
  EXPECT_EQ(parked->Drop(), Block::Dropped::kLast);
}

TEST_F(VictimQueueTest, ABlockThatJustLeftTheIndexIsLeftAlone) {
  Block* const leaving = Add("leaving");
  leaving->ClearIndexed();  // its remover has not retired it yet
  Block* const idle = Add("idle");
  EXPECT_EQ(queue_.PopIdle(), idle);
  EXPECT_EQ(leaving->references(), 1u);
  EXPECT_EQ(queue_.PopIdle(), nullptr);
}

TEST_F(VictimQueueTest, TheColdestAreHeldInPlaceUnlessInUse) {
  Block* const a = Add("a");
  Block* const b = Add("b");
  Block* const c = Add("c");
  b->Hold();
  const std::vector<Block*> held = queue_.HoldColdest(8);
  EXPECT_EQ(held, (std::vector<Block*>{a, c}));
  EXPECT_EQ(a->references(), 1u);
  EXPECT_EQ(b->references(), 1u);
  for (Block* block : held) Release(block);
  EXPECT_EQ(queue_.PopIdle(), a);
}

TEST_F(VictimQueueTest, ManyHeldBlocksAreAllPassedOver) {
  for (int i = 0; i < 1000; ++i) Add(std::to_string(i))->Hold();
  Block* const idle = Add("idle");
  EXPECT_EQ(queue_.PopIdle(), idle);
  for (int i = 0; i < 1000; ++i) Release(blocks_[i]);
  for (int i = 0; i < 1000; ++i) EXPECT_NE(queue_.PopIdle(), nullptr);
  EXPECT_EQ(queue_.PopIdle(), nullptr);
}

}  // namespace
}  // namespace kvasir
