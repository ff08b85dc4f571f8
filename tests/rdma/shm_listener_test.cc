#include "rdma/shm_listener.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "rdma/shm_packet.h"
#include "tests/rdma/shm_directory.h"

namespace kvasir {
namespace {

using std::chrono::seconds;
namespace fs = std::filesystem;

Instant Soon() { return Clock::Real()->Now() + seconds(10); }

mode_t ModeOf(const std::string& path) {
  struct stat found {};
  EXPECT_EQ(lstat(path.c_str(), &found), 0) << path;
  return found.st_mode & 07777;
}

// A bound socket that nobody listens on: what a killed server leaves behind.
void LeaveSocket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
}

class ShmListenerTest : public testing::Test {
 protected:
  const ShmTestDirectory place_;
  const std::string base_ = place_.parent();
  const std::string directory_ = place_.path();  // does not exist yet
};

TEST_F(ShmListenerTest, MakesADirectoryAndASocketForTheOwnerAlone) {
  const auto listener = ShmListener::Listen(directory_, ShmReach::kOwner);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(ModeOf(directory_), 0700u);
  EXPECT_EQ(ModeOf((*listener)->path()), 0600u);
}

TEST_F(ShmListenerTest, LetsOtherUsersThroughOnlyWhereAsked) {
  const auto listener = ShmListener::Listen(directory_, ShmReach::kAnyUser);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(ModeOf(directory_), 0711u);
  EXPECT_EQ(ModeOf((*listener)->path()), 0666u);
}

TEST_F(ShmListenerTest, RefusesADirectoryOfAnotherMode) {
  fs::create_directory(directory_);
  for (const mode_t mode : {0755, 0711, 0770, 0777, 0500}) {
    chmod(directory_.c_str(), mode);
    const absl::Status status =
        ShmListener::Listen(directory_, ShmReach::kOwner).status();
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  }
}

TEST_F(ShmListenerTest, RefusesADirectoryOfAnotherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  fs::create_directory(directory_);
  chmod(directory_.c_str(), 0700);
  ASSERT_EQ(chown(directory_.c_str(), 12345, 12345), 0);
  const absl::Status status = ShmListener::Listen(directory_, ShmReach::kOwner).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
}

TEST_F(ShmListenerTest, RefusesALinkAndAFileInThePlaceOfTheDirectory) {
  fs::create_directory(base_ + "/real");
  chmod((base_ + "/real").c_str(), 0700);
  fs::create_symlink(base_ + "/real", directory_);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      ShmListener::Listen(directory_, ShmReach::kOwner).status()));
  fs::remove(directory_);
  std::ofstream(directory_) << "x";
  EXPECT_TRUE(absl::IsFailedPrecondition(
      ShmListener::Listen(directory_, ShmReach::kOwner).status()));
}

TEST_F(ShmListenerTest, SaysThatAPathIsTooLongAndLeavesNothingBehind) {
  const std::string deep = base_ + "/" + std::string(90, 'd');
  const absl::Status status = ShmListener::Listen(deep, ShmReach::kOwner).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find("at most 107 fit"), absl::string_view::npos) << status;
  EXPECT_FALSE(fs::exists(deep));
}

TEST_F(ShmListenerTest, TakesItsSocketAwayWhenItDies) {
  auto listener = ShmListener::Listen(directory_, ShmReach::kOwner);
  ASSERT_TRUE(listener.ok()) << listener.status();
  const std::string path = (*listener)->path();
  EXPECT_TRUE(fs::exists(path));
  listener->reset();
  EXPECT_TRUE(fs::is_empty(directory_));
}

TEST_F(ShmListenerTest, RemovesSocketsOfDeadServersAndNothingElse) {
  const auto living = ShmListener::Listen(directory_, ShmReach::kOwner);
  ASSERT_TRUE(living.ok()) << living.status();
  LeaveSocket(directory_ + "/shm-0123456789abcdef.sock");
  LeaveSocket(directory_ + "/somebody-elses.sock");
  std::ofstream(directory_ + "/shm-file.sock") << "not a socket";

  const auto next = ShmListener::Listen(directory_, ShmReach::kOwner);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_FALSE(fs::exists(directory_ + "/shm-0123456789abcdef.sock"));
  EXPECT_TRUE(fs::exists(directory_ + "/somebody-elses.sock"));
  EXPECT_TRUE(fs::exists(directory_ + "/shm-file.sock"));
  EXPECT_TRUE(fs::exists((*living)->path()));
  EXPECT_TRUE(ConnectShmSocket((*living)->path(), Clock::Real(), Soon()).ok());
}

TEST_F(ShmListenerTest, AConnectionCarriesPacketsAndTellsItsUser) {
  const auto listener = ShmListener::Listen(directory_, ShmReach::kOwner);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_FALSE((*listener)->Accept()->valid()) << "nobody has connected yet";
  const auto client = ConnectShmSocket((*listener)->path(), Clock::Real(), Soon());
  ASSERT_TRUE(client.ok()) << client.status();
  const auto server = (*listener)->Accept();
  ASSERT_TRUE(server.ok() && server->valid()) << server.status();
  EXPECT_EQ(*ShmPeerUid(server->get()), geteuid());

  ASSERT_TRUE(SendShmPacket(client->get(), "one").ok());
  ASSERT_TRUE(SendShmPacket(client->get(), "two").ok());
  char buffer[16];
  EXPECT_EQ(*ReceiveShmPacket(server->get(), buffer), "one");
  EXPECT_EQ(*ReceiveShmPacket(server->get(), buffer), "two");
  EXPECT_EQ(*ReceiveShmPacket(server->get(), buffer), "") << "there is no third";
}

TEST_F(ShmListenerTest, ConnectingTellsNotHereFromNobodyThere) {
  const auto nowhere = ConnectShmSocket(directory_ + "/none.sock", Clock::Real(), Soon());
  EXPECT_TRUE(absl::IsFailedPrecondition(nowhere.status())) << nowhere.status();
  const auto gone = ConnectShmSocket(base_ + "/none.sock", Clock::Real(), Soon());
  EXPECT_TRUE(absl::IsUnavailable(gone.status())) << gone.status();
  LeaveSocket(base_ + "/dead.sock");
  const auto dead = ConnectShmSocket(base_ + "/dead.sock", Clock::Real(), Soon());
  EXPECT_TRUE(absl::IsUnavailable(dead.status())) << dead.status();
}

TEST_F(ShmListenerTest, PacketsNotOursAreErrorsNotSurprises) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd near(pair[0]);
  UniqueFd far(pair[1]);
  char buffer[8];
  ASSERT_TRUE(SendShmPacket(far.get(), "123456789").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(ReceiveShmPacket(near.get(), buffer).status()));
  EXPECT_FALSE(ShmPeerGone(near.get()));
  far.reset();
  EXPECT_TRUE(ShmPeerGone(near.get()));
  EXPECT_TRUE(absl::IsUnavailable(ReceiveShmPacket(near.get(), buffer).status()));
  EXPECT_TRUE(absl::IsUnavailable(SendShmPacket(near.get(), "x")));
}

TEST_F(ShmListenerTest, DescriptorsArriveWhereAskedForAndNowhereElse) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd near(pair[0]), far(pair[1]);
  const int passed[] = {near.get(), far.get()};
  ASSERT_TRUE(SendShmPacket(far.get(), "with", passed).ok());
  ASSERT_TRUE(SendShmPacket(far.get(), "unasked", passed).ok());
  char buffer[8];
  std::vector<UniqueFd> fds;
  EXPECT_EQ(*ReceiveShmPacket(near.get(), buffer, &fds), "with");
  EXPECT_EQ(fds.size(), 2u);
  const int next_free = dup(near.get());
  close(next_free);
  EXPECT_EQ(*ReceiveShmPacket(near.get(), buffer), "unasked");
  const int still_free = dup(near.get());
  close(still_free);
  EXPECT_EQ(next_free, still_free) << "the kernel must have dropped the descriptors";
}

TEST(ShmDirectory, FollowsTheRuntimeDirectoryOfTheUser) {
  setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
  EXPECT_EQ(DefaultShmDirectory(), "/run/user/7/kvasir");
  unsetenv("XDG_RUNTIME_DIR");
  EXPECT_EQ(DefaultShmDirectory(), fmt::format("/tmp/kvasir-{}", geteuid()));
}

}  // namespace
}  // namespace kvasir
