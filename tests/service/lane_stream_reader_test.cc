#include "service/lane_stream_reader.h"

#include <google/protobuf/util/message_differencer.h>
#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace kvasir {
namespace {

using google::protobuf::util::MessageDifferencer;

// As gRPC delivers it: in slices of any size.
grpc::ByteBuffer ToBuffer(std::string_view bytes, size_t slice_bytes = 1 << 20) {
  std::vector<grpc::Slice> slices;
  do {
    slices.emplace_back(bytes.data(), std::min(bytes.size(), slice_bytes));
    bytes.remove_prefix(std::min(bytes.size(), slice_bytes));
  } while (!bytes.empty());
  return {slices.data(), slices.size()};
}

v1::LaneRequest LookupOf(int keys, size_t key_bytes) {
  v1::LaneRequest request;
  for (int i = 0; i < keys; ++i) {
    request.mutable_lookup()->add_keys(
        std::string(key_bytes, static_cast<char>('a' + i % 26)));
  }
  return request;
}

// A request with random content in most fields.
v1::LaneRequest RandomRequest(std::mt19937_64* random) {
  const auto some = [random](uint64_t below) { return (*random)() % below; };
  v1::LaneRequest request;
  for (uint64_t i = some(3); i > 0; --i) request.add_releases((*random)());
  switch (some(7)) {
    case 0:
      request.mutable_open()->set_hello(std::string(some(100), 'h'));
      break;
    case 1:
      request = LookupOf(static_cast<int>(some(20)), some(90));
      request.mutable_lookup()->set_pin_owner(std::string(some(4), 'p'));
      break;
    case 2:
      request.mutable_grant_reads()->set_push(some(2) == 1);
      for (uint64_t i = some(9); i > 0; --i)
        request.mutable_grant_reads()->add_keys("key");
      break;
    case 3:
      for (uint64_t i = some(9); i > 0; --i) {
        request.mutable_grant_writes()->add_writes()->set_size_bytes(some(1000));
      }
      break;
    case 4:
      request.mutable_commit()->add_items()->set_checksum((*random)());
      break;
    case 5:
      request.mutable_abort()->add_leases(some(1000));
      break;
    default:
      break;
  }
  return request;
}

TEST(LaneStreamReader, ReadsWhatProtobufReadsWhateverCameBefore) {
  std::mt19937_64 random(11);
  LaneStreamReader reader;
  for (int i = 0; i < 20'000; ++i) {
    const v1::LaneRequest sent = RandomRequest(&random);
    grpc::ByteBuffer bytes = ToBuffer(sent.SerializeAsString(), 1 + random() % 64);
    const v1::LaneRequest* const read = reader.Read(&bytes);
    ASSERT_NE(read, nullptr);
    ASSERT_TRUE(MessageDifferencer::Equals(*read, sent))
        << read->ShortDebugString() << " instead of " << sent.ShortDebugString();
  }
}

// Bytes that no serialiser writes, but that mean something: both parsers must agree.
TEST(LaneStreamReader, AgreesWithProtobufOnGarbage) {
  std::mt19937_64 random(12);
  LaneStreamReader reader;
  int parsed = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::string bytes;
    for (int piece = random() % 3; piece >= 0; --piece) {
      bytes += RandomRequest(&random).SerializeAsString();
    }
    for (int flips = random() % 3; flips > 0 && !bytes.empty(); --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (random() % 4 == 0) bytes.resize(random() % (bytes.size() + 1));
    v1::LaneRequest expected;
    const bool valid = expected.ParseFromString(bytes);
    grpc::ByteBuffer buffer = ToBuffer(bytes);
    const v1::LaneRequest* const read = reader.Read(&buffer);
    ASSERT_EQ(read != nullptr, valid) << i;
    if (!valid) continue;
    ++parsed;
    ASSERT_EQ(read->SerializeAsString(), expected.SerializeAsString()) << i;
  }
  EXPECT_GT(parsed, 10'000);
}

TEST(LaneStreamReader, KeysOfTheSameSizeTakeNoNewMemory) {
  LaneStreamReader reader;
  grpc::ByteBuffer first = ToBuffer(LookupOf(64, 80).SerializeAsString());
  const v1::LaneRequest* const before = reader.Read(&first);
  const std::string* const key = &before->lookup().keys(63);
  const char* const memory = key->data();
  grpc::ByteBuffer second = ToBuffer(LookupOf(64, 80).SerializeAsString());
  const v1::LaneRequest* const after = reader.Read(&second);
  EXPECT_EQ(&after->lookup().keys(63), key);
  EXPECT_EQ(after->lookup().keys(63).data(), memory);
}

TEST(LaneStreamReader, AKindThatHasTakenInItsBoundStartsAfresh) {
  LaneStreamReader reader;
  grpc::ByteBuffer large =
      ToBuffer(LookupOf(8, LaneStreamReader::kReusedBytesMax / 4).SerializeAsString());
  ASSERT_NE(reader.Read(&large), nullptr);
  grpc::ByteBuffer small = ToBuffer(LookupOf(8, 8).SerializeAsString());
  const v1::LaneRequest* const read = reader.Read(&small);
  ASSERT_NE(read, nullptr);
  EXPECT_LT(read->SpaceUsedLong(), 4096u);
}

}  // namespace
}  // namespace kvasir
