#include "service/lane_stream_reader.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

namespace kvasir {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// The field of `oneof request` that comes first, which is all there are if `releases`
// alone comes before it. 0 if the bytes begin otherwise: they may still be a request.
int FirstKind(grpc::ByteBuffer* bytes) {
  grpc::ProtoBufferReader reader(bytes);
  CodedInputStream in(&reader);
  uint32_t tag = in.ReadTag();
  if (tag == WireFormatLite::MakeTag(v1::LaneRequest::kReleasesFieldNumber,
                                     WireFormatLite::WIRETYPE_LENGTH_DELIMITED)) {
    int length = 0;
    if (!in.ReadVarintSizeAsInt(&length) || !in.Skip(length)) return 0;
    tag = in.ReadTag();
  }
  const int field = WireFormatLite::GetTagFieldNumber(tag);
  // With another wire type it is an unknown field, and sets nothing.
  const bool known =
      WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED &&
      field >= v1::LaneRequest::kOpenFieldNumber &&
      field <= v1::LaneRequest::kUnpinOwnerFieldNumber;
  return known ? field : 0;
}

// Empties what is inside `request` and keeps its memory.
void EmptyInside(v1::LaneRequest* request) {
  request->clear_releases();
  request->GetReflection()->MutableUnknownFields(request)->Clear();
  switch (request->request_case()) {
    case v1::LaneRequest::kOpen:
      return request->mutable_open()->Clear();
    case v1::LaneRequest::kLookup:
      return request->mutable_lookup()->Clear();
    case v1::LaneRequest::kGrantReads:
      return request->mutable_grant_reads()->Clear();
    case v1::LaneRequest::kGrantWrites:
      return request->mutable_grant_writes()->Clear();
    case v1::LaneRequest::kCommit:
      return request->mutable_commit()->Clear();
    case v1::LaneRequest::kAbort:
      return request->mutable_abort()->Clear();
    case v1::LaneRequest::kRelease:
      return request->mutable_release()->Clear();
    case v1::LaneRequest::kRemove:
      return request->mutable_remove()->Clear();
    case v1::LaneRequest::kUnpinOwner:
      return request->mutable_unpin_owner()->Clear();
    case v1::LaneRequest::REQUEST_NOT_SET:
      return;
  }
}

}  // namespace

const v1::LaneRequest* LaneStreamReader::Read(grpc::ByteBuffer* bytes) {
  const int kind = FirstKind(bytes);
  Slot& slot = slots_[kind];
  slot.taken_bytes += bytes->Length();
  // What is left inside must be of the kind that the bytes will set: the parser merges
  // into it, and would leave it there if they did not.
  if (static_cast<int>(slot.request.request_case()) == kind && kind != 0 &&
      slot.taken_bytes <= kReusedBytesMax) {
    EmptyInside(&slot.request);
  } else {
    slot.request.Clear();
    slot.taken_bytes = bytes->Length();
  }
  grpc::ProtoBufferReader reader(bytes);
  CodedInputStream in(&reader);
  const bool whole = slot.request.MergeFromCodedStream(&in) && in.ConsumedEntireMessage();
  return whole ? &slot.request : nullptr;
}

}  // namespace kvasir
