#ifndef KVASIR_BASE_CHECK_H_
#define KVASIR_BASE_CHECK_H_

// KV_CHECK(condition): ends the process with file, line and the condition's text if
// it is false. For a programmer's error only; what a peer, a disk or a user can
// cause is a Status.
#define KV_CHECK(condition)                                         \
  do {                                                              \
    if (!(condition)) [[unlikely]] {                                \
      ::kvasir::internal::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                               \
  } while (false)

namespace kvasir::internal {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace kvasir::internal

#endif  // KVASIR_BASE_CHECK_H_
