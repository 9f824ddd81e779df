// SPDX-License-Identifier: Apache-2.0
#include "addon.h"
#include "args.h"
#include "fd.h"

#include <sys/file.h>
#include <sys/stat.h>

namespace shunt {

/// An advisory lock, flock(2), on a file or a directory: the kernel ends it with its process,
/// however that ends.
class LockHandle : public Napi::ObjectWrap<LockHandle> {
public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeLock",
                       {
                           InstanceMethod<&LockHandle::holds>("holds"),
                           InstanceMethod<&LockHandle::close>("close"),
                       });
  }

  explicit LockHandle(const Napi::CallbackInfo &info) : ObjectWrap(info) {}

  static Napi::Value take(const Napi::CallbackInfo &info) {
    Arguments arguments(info, "lock");
    std::string path = arguments.text(0, "path");
    Fd fd(check(info.Env(), ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW), "open", path));
    if (flock(fd.get(), LOCK_EX | LOCK_NB) < 0) {
      if (errno == EWOULDBLOCK)
        return info.Env().Undefined();
      fail(info.Env(), errno, "flock", path);
    }
    LockHandle &handle = construct<LockHandle>(Addon::of(info.Env()).lock);
    handle.fd_ = std::move(fd);
    handle.path_ = std::move(path);
    return handle.Value();
  }

private:
  // Whoever unlinks a file that is locked leaves the lock with nobody who would ask for it.
  Napi::Value holds(const Napi::CallbackInfo &info) {
    if (!fd_)
      failClosed(info.Env(), "holds", "lock");
    struct stat mine {
    }, there{};
    check(info.Env(), fstat(fd_.get(), &mine), "fstat", path_);
    bool same = lstat(path_.c_str(), &there) == 0 && mine.st_dev == there.st_dev &&
                mine.st_ino == there.st_ino;
    return Napi::Boolean::New(info.Env(), same);
  }
  void close(const Napi::CallbackInfo &) { fd_.reset(); }

  Fd fd_;
  std::string path_;
};

void exportLock(Napi::Env env, Napi::Object exports) {
  Addon::of(env).lock = Napi::Persistent(LockHandle::define(env));
  exportFunction<LockHandle::take>(exports, "lock");
}

} // namespace shunt
