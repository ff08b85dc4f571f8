#ifndef KVASIR_CLIENT_NODE_CLIENT_STREAM_H_
#define KVASIR_CLIENT_NODE_CLIENT_STREAM_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/call.h>
#include <grpcpp/impl/call_op_set.h>

#include <memory>

#include "absl/status/status.h"
#include "base/clock.h"
#include "client/node_client_deadline.h"
#include "proto/grpc_status.h"

namespace kvasir {

// A bidirectional gRPC stream used as a sequence of exchanges: one request, one response.
// Its completion queue is its own and is driven by the thread that calls Exchange, so no
// other thread takes part in a round trip. Opened by the first exchange, whose request
// travels with the stream's headers. Each later one is a single batch of gRPC's core that
// sends and receives, and so a single completion (docs/decisions/0006). Not thread-safe.
template <typename Request, typename Response>
class ExchangeStream {
 public:
  using Stream = grpc::ClientAsyncReaderWriter<Request, Response>;

  // `prepare(context, queue)` is a stub's PrepareAsync call. `clock` must outlive this.
  template <typename Prepare>
  ExchangeStream(const Prepare& prepare, const Clock* clock)
      : clock_(clock), stream_(prepare(&context_, &queue_)) {}

  ExchangeStream(const ExchangeStream&) = delete;
  ExchangeStream& operator=(const ExchangeStream&) = delete;

  ~ExchangeStream() {
    // The peer sees the cancellation as the end of the stream.
    if (started_) context_.TryCancel();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  // DeadlineExceeded and every error of the stream leave it ended: later calls answer
  // Unavailable.
  absl::Status Exchange(const Request& request, Response* response, Instant deadline) {
    if (ended_) return absl::UnavailableError("use control stream: it has ended");
    int events = 0;
    const grpc::Status begun = started_ ? Begin(request, response, &events)
                                        : BeginFirst(request, response, &events);
    if (!begun.ok()) {
      ended_ = true;
      return FromGrpcStatus(begun);
    }
    bool ok = true;
    if (!Await(events, ToGrpcDeadline(*clock_, deadline), &ok)) {
      ended_ = true;
      return absl::DeadlineExceededError("use control stream: no answer in time");
    }
    return ok ? absl::OkStatus() : Finish(deadline);
  }

 private:
  using SendAndReceive =
      grpc::internal::CallOpSet<grpc::internal::CallOpSendMessage,
                                grpc::internal::CallOpRecvMessage<Response>>;

  // Both begin an exchange and say how many events complete it.
  grpc::Status BeginFirst(const Request& request, Response* response, int* events) {
    context_.set_initial_metadata_corked(true);
    stream_->StartCall(nullptr);
    started_ = true;
    stream_->Write(request, this);
    stream_->Read(response, this);
    *events = 2;
    return grpc::Status::OK;
  }
  grpc::Status Begin(const Request& request, Response* response, int* events) {
    grpc::Status serialized = operations_.SendMessage(request);
    if (!serialized.ok()) return serialized;
    operations_.RecvMessage(response);
    operations_.set_output_tag(this);
    grpc::internal::Call call(context_.c_call(), /*call_hook=*/nullptr, &queue_);
    operations_.FillOps(&call);
    *events = 1;
    return grpc::Status::OK;
  }

  // Takes `events` completions off the queue. On the deadline it cancels the call and
  // takes what is left then, which comes at once, so that gRPC touches no argument of
  // ours afterwards; false then. `*ok` stays true only if every event was good.
  bool Await(int events, gpr_timespec deadline, bool* ok) {
    bool in_time = true;
    while (events > 0) {
      void* tag = nullptr;
      bool event_ok = false;
      const auto next = in_time ? queue_.AsyncNext(&tag, &event_ok, deadline)
                                : (queue_.Next(&tag, &event_ok)
                                       ? grpc::CompletionQueue::GOT_EVENT
                                       : grpc::CompletionQueue::SHUTDOWN);
      if (next == grpc::CompletionQueue::TIMEOUT) {
        in_time = false;
        context_.TryCancel();
        continue;
      }
      *ok = *ok && event_ok;
      --events;
    }
    return in_time;
  }

  // Why the peer ended the stream. Its last words may still be on their way.
  absl::Status Finish(Instant deadline) {
    ended_ = true;
    grpc::Status status;
    stream_->Finish(&status, this);
    bool ok = true;
    Await(1, ToGrpcDeadline(*clock_, deadline), &ok);
    if (status.ok() || status.error_code() == grpc::StatusCode::CANCELLED) {
      return absl::UnavailableError("use control stream: the peer ended it");
    }
    return FromGrpcStatus(status);
  }

  const Clock* const clock_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  const std::unique_ptr<Stream> stream_;
  SendAndReceive operations_;
  bool started_ = false;
  bool ended_ = false;
};

}  // namespace kvasir

#endif  // KVASIR_CLIENT_NODE_CLIENT_STREAM_H_
