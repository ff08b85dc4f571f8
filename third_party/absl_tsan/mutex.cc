// Tells ThreadSanitizer about absl::Mutex. Debian's Abseil is built without it, so what a
// Mutex orders looks unordered and every guarded member a race. These definitions come
// before the library's own (the program is searched first), announce the operation, and
// call the library's. Linked with --config=tsan only.

#include "absl/synchronization/mutex.h"

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include "absl/base/config.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace {

// The library's definition of a member function, as a plain function.
template <typename Function>
Function* Real(const char* mangled) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, mangled));
}

// TSan ignores memory accesses from the announcement of an operation to its end, so
// conditions that the library evaluates in between are no races.
class Locking {
 public:
  Locking(absl::Mutex* mu, unsigned flags) : mu_(mu), flags_(flags) {
    __tsan_mutex_pre_lock(mu_, flags_);
  }
  ~Locking() { __tsan_mutex_post_lock(mu_, flags_, 0); }
  void Failed() { flags_ |= __tsan_mutex_try_lock_failed; }

 private:
  absl::Mutex* const mu_;
  unsigned flags_;
};

void Unlocking(absl::Mutex* mu, unsigned flags) {
  __tsan_mutex_pre_unlock(mu, flags);
  __tsan_mutex_post_unlock(mu, flags);
}

class UnlockingScope {
 public:
  UnlockingScope(absl::Mutex* mu, unsigned flags) : mu_(mu), flags_(flags) {
    __tsan_mutex_pre_unlock(mu_, flags_);
  }
  ~UnlockingScope() { __tsan_mutex_post_unlock(mu_, flags_); }

 private:
  absl::Mutex* const mu_;
  const unsigned flags_;
};

constexpr unsigned kWrite = 0;
constexpr unsigned kRead = __tsan_mutex_read_lock;
constexpr unsigned kTry = __tsan_mutex_try_lock;

}  // namespace

#define KV_REAL(Mangled, ...) \
  static auto* const real = Real<__VA_ARGS__>("_ZN4absl7debian3" Mangled)

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  KV_REAL("5Mutex4LockEv", void(Mutex*));
  const Locking locking(this, kWrite);
  real(this);
}

void Mutex::Unlock() {
  KV_REAL("5Mutex6UnlockEv", void(Mutex*));
  const UnlockingScope unlocking(this, kWrite);
  real(this);
}

bool Mutex::TryLock() {
  KV_REAL("5Mutex7TryLockEv", bool(Mutex*));
  Locking locking(this, kTry);
  const bool locked = real(this);
  if (!locked) locking.Failed();
  return locked;
}

void Mutex::ReaderLock() {
  KV_REAL("5Mutex10ReaderLockEv", void(Mutex*));
  const Locking locking(this, kRead);
  real(this);
}

void Mutex::ReaderUnlock() {
  KV_REAL("5Mutex12ReaderUnlockEv", void(Mutex*));
  const UnlockingScope unlocking(this, kRead);
  real(this);
}

void Mutex::LockWhen(const Condition& condition) {
  KV_REAL("5Mutex8LockWhenERKNS0_9ConditionE", void(Mutex*, const Condition&));
  const Locking locking(this, kWrite);
  real(this, condition);
}

// The library's forms with a timeout call those with a deadline, which are these: to
// announce both would lock twice in TSan's eyes.
bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  return LockWhenWithDeadline(condition, Now() + timeout);
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  KV_REAL("5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE",
          bool(Mutex*, const Condition&, Time));
  const Locking locking(this, kWrite);
  return real(this, condition, deadline);
}

void Mutex::Await(const Condition& condition) {
  KV_REAL("5Mutex5AwaitERKNS0_9ConditionE", void(Mutex*, const Condition&));
  Unlocking(this, kWrite);
  const Locking locking(this, kWrite);
  real(this, condition);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  return AwaitWithDeadline(condition, Now() + timeout);
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  KV_REAL("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE",
          bool(Mutex*, const Condition&, Time));
  Unlocking(this, kWrite);
  const Locking locking(this, kWrite);
  return real(this, condition, deadline);
}

void CondVar::Wait(Mutex* mu) {
  KV_REAL("7CondVar4WaitEPNS0_5MutexE", void(CondVar*, Mutex*));
  Unlocking(mu, kWrite);
  const Locking locking(mu, kWrite);
  real(this, mu);
}

bool CondVar::WaitWithTimeout(Mutex* mu, Duration timeout) {
  return WaitWithDeadline(mu, Now() + timeout);
}

bool CondVar::WaitWithDeadline(Mutex* mu, Time deadline) {
  KV_REAL("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE",
          bool(CondVar*, Mutex*, Time));
  Unlocking(mu, kWrite);
  const Locking locking(mu, kWrite);
  return real(this, mu, deadline);
}

void Notification::Notify() {
  KV_REAL("12Notification6NotifyEv", void(Notification*));
  __tsan_release(this);
  real(this);
}

void Notification::WaitForNotification() const {
  static auto* const real = Real<void(const Notification*)>(
      "_ZNK4absl7debian312Notification19WaitForNotificationEv");
  real(this);
  __tsan_acquire(const_cast<Notification*>(this));
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  static auto* const real = Real<bool(const Notification*, Duration)>(
      "_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE");
  const bool notified = real(this, timeout);
  if (notified) __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

bool BlockingCounter::DecrementCount() {
  KV_REAL("15BlockingCounter14DecrementCountEv", bool(BlockingCounter*));
  __tsan_release(this);
  return real(this);
}

void BlockingCounter::Wait() {
  KV_REAL("15BlockingCounter4WaitEv", void(BlockingCounter*));
  real(this);
  __tsan_acquire(this);
}

ABSL_NAMESPACE_END
}  // namespace absl
