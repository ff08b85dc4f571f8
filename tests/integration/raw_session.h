#ifndef KVASIR_TESTS_INTEGRATION_RAW_SESSION_H_
#define KVASIR_TESTS_INTEGRATION_RAW_SESSION_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvasir/v1/admin.grpc.pb.h"
#include "kvasir/v1/cluster.grpc.pb.h"
#include "kvasir/v1/kv.grpc.pb.h"
#include "rdma/transport.h"

namespace kvasir {

// Calls to a real server, as bare as gRPC lets them be: no retries and no rules of the
// SDK, so that tests can do what a well-behaved client does not.
struct RawStubs {
  explicit RawStubs(const std::string& address);

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::KvService::Stub> kv;
  std::unique_ptr<v1::AdminService::Stub> admin;
  std::unique_ptr<v1::ClusterService::Stub> cluster;
};

// A context with a generous deadline, for one call.
std::unique_ptr<grpc::ClientContext> NewContext(
    std::chrono::milliseconds timeout = std::chrono::milliseconds(30'000));

// A session on a channel of its own. Sends no heartbeats unless told.
class RawSession {
 public:
  // Ends the test if the session cannot be opened.
  explicit RawSession(const std::string& address);

  const std::string& id() const { return opened_.session(); }
  const v1::OpenSessionResponse& opened() const { return opened_; }
  RawStubs& stubs() { return stubs_; }

  // Calls of KvService with the session filled in.
  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::KvService::Stub::*method)(grpc::ClientContext*,
                                                                const Request&,
                                                                Response*),
                    Request request, Response* response) {
    request.set_session(id());
    const auto context = NewContext();
    return (stubs_.kv.get()->*method)(context.get(), request, response);
  }

 private:
  RawStubs stubs_;
  v1::OpenSessionResponse opened_;
};

// A lane of a session: its control stream, and its data path over tcp or what else it is
// given.
class RawLane {
 public:
  explicit RawLane(RawSession* session);
  // `transport` is not owned and must outlive the lane.
  RawLane(RawSession* session, ClientTransport* transport);
  ~RawLane();  // Cancels the stream.

  // Opens both. To be called once.
  absl::Status Open();
  // Opens the control stream's half alone: sends a hello and returns the offer. Instead of
  // Open, for who makes the data path by hand.
  absl::StatusOr<std::string> Offer(std::string_view hello);
  v1::LaneResponse Exchange(const v1::LaneRequest& request);
  bool Write(const v1::LaneRequest& request) { return stream_->Write(request); }
  bool Read(v1::LaneResponse* response) { return stream_->Read(response); }
  // Half-closes and waits for the status of the stream.
  grpc::Status Finish();

  // A grant, the bytes, and the commit.
  absl::StatusOr<v1::WriteGrant> Grant(std::string_view key, uint64_t size_bytes,
                                       uint32_t ttl_ms = 0);
  absl::Status Fill(const v1::WriteGrant& grant, std::string_view value);
  v1::KeyOutcome Commit(const v1::WriteGrant& grant, std::string_view key,
                        std::string_view value);
  absl::Status Put(std::string_view key, std::string_view value);
  absl::StatusOr<std::string> Get(std::string_view key);

 private:
  RawLane(RawSession* session, std::unique_ptr<ClientTransport> own);
  absl::Status Move(const Token& token, std::span<std::byte> local);

  RawSession* const session_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::LaneRequest, v1::LaneResponse>> stream_;
  std::unique_ptr<ClientTransport> own_;
  ClientTransport* const transport_;
  std::unique_ptr<Lane> lane_;
};

// Reason of the ErrorInfo that came with a status; empty if none did.
std::string ReasonIn(const grpc::Status& status);

// One GET over a connection of its own. Status 0 if nobody answers.
struct HttpAnswer {
  int status = 0;
  std::string body, content_type;
};
HttpAnswer HttpGet(const std::string& address, const std::string& path);

}  // namespace kvasir

#endif  // KVASIR_TESTS_INTEGRATION_RAW_SESSION_H_
