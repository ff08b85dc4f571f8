// Debian's gRPC, Protobuf and Abseil are built without ThreadSanitizer, so what they
// order among their own threads looks unordered. A report is dropped if a frame of
// theirs touched the memory. That hides a race of ours on memory that a gRPC callback
// touches; the core, the data plane and the pools are therefore also tested without gRPC.
extern "C" const char* __tsan_default_suppressions();

extern "C" const char* __tsan_default_suppressions() {
  return "race:libgrpc.so\n"
         "race:libgrpc++.so\n"
         "race:libgpr.so\n"
         "race:libprotobuf.so\n"
         "race:libabsl_\n"
         // gRPC leaves its own threads to the end of the process.
         "thread:libgpr.so\n";
}
