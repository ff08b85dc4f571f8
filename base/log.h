#ifndef KVASIR_BASE_LOG_H_
#define KVASIR_BASE_LOG_H_

#include <string_view>

namespace kvasir {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// One line to standard error: time, level, message. Thread-safe. Keys and secrets do
// not belong in messages; keys may appear at kDebug.
void Log(LogLevel level, std::string_view message);

// Lines below `level` are dropped. Default kInfo.
void SetLogLevel(LogLevel level);

}  // namespace kvasir

#endif  // KVASIR_BASE_LOG_H_
