// SPDX-License-Identifier: Apache-2.0
#include "addon.h"
#include "args.h"
#include "pump.h"

#include <sys/inotify.h>

namespace shunt {

/// Like RingHandle, an open one keeps itself alive until `close`.
class InotifyHandle : public Napi::ObjectWrap<InotifyHandle> {
public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeInotify",
                       {
                           InstanceMethod<&InotifyHandle::add>("add"),
                           InstanceMethod<&InotifyHandle::remove>("remove"),
                           InstanceMethod<&InotifyHandle::ref>("ref"),
                           InstanceMethod<&InotifyHandle::unref>("unref"),
                           InstanceMethod<&InotifyHandle::close>("close"),
                       });
  }

  explicit InotifyHandle(const Napi::CallbackInfo &info) : ObjectWrap(info) {}
  ~InotifyHandle() override { release(); }

  static Napi::Value open(const Napi::CallbackInfo &info) {
    Napi::Function callback = Arguments(info, "openInotify").function(0, "onEvents");
    InotifyHandle &handle = construct<InotifyHandle>(Addon::of(info.Env()).inotify);
    handle.fd_ =
        Fd(check(info.Env(), inotify_init1(IN_NONBLOCK | IN_CLOEXEC), "inotify_init1", ""));
    handle.callback_ = Napi::Persistent(callback);
    handle.pump_ = Pump::start(info.Env(), "shunt-inotify", handle.fd_.get(),
                               [&handle](Napi::Env env) { return handle.turn(env); });
    handle.Ref();
    return handle.Value();
  }

private:
  // One read a turn; the one that finds nothing ends it.
  bool turn(Napi::Env env) {
    alignas(inotify_event) char buffer[32768];
    ssize_t size = ::read(fd_.get(), buffer, sizeof(buffer));
    if (size <= 0)
      return size < 0 && errno == EINTR;
    Napi::Array events = Napi::Array::New(env);
    for (ssize_t at = 0; at < size;) {
      const auto *event = reinterpret_cast<const inotify_event *>(buffer + at);
      Napi::Object object = Napi::Object::New(env);
      object.Set("watch", event->wd);
      object.Set("mask", event->mask);
      // Padded with NULs, absent for the watched file itself.
      object.Set("name", event->len > 0 ? event->name : "");
      events.Set(events.Length(), object);
      at += sizeof(inotify_event) + event->len;
    }
    callBack(env, callback_, events);
    return true;
  }

  Napi::Value add(const Napi::CallbackInfo &info) {
    Arguments arguments(info, "add");
    opened(info.Env(), "add");
    std::string path = arguments.text(0, "path");
    int watch = inotify_add_watch(fd_.get(), path.c_str(), arguments.number(1, "mask"));
    return Napi::Number::New(info.Env(), check(info.Env(), watch, "inotify_add_watch", path));
  }

  void remove(const Napi::CallbackInfo &info) {
    Arguments arguments(info, "remove");
    opened(info.Env(), "remove");
    uint32_t watch = arguments.number(0, "watch", INT32_MAX);
    // EINVAL: unknown, or gone with its file.
    if (inotify_rm_watch(fd_.get(), watch) < 0 && errno != EINVAL)
      fail(info.Env(), errno, "inotify_rm_watch", std::to_string(watch));
  }

  void ref(const Napi::CallbackInfo &info) {
    opened(info.Env(), "ref");
    pump_->ref(info.Env());
  }
  void unref(const Napi::CallbackInfo &info) {
    opened(info.Env(), "unref");
    pump_->unref(info.Env());
  }
  void close(const Napi::CallbackInfo &) {
    if (release())
      Unref();
  }

  void opened(Napi::Env env, const char *method) const {
    if (!pump_)
      failClosed(env, method, "inotify");
  }
  bool release() {
    if (!pump_)
      return false;
    std::exchange(pump_, nullptr)->stop();
    // Or a callback that knows its handle would keep both for good.
    callback_.Reset();
    fd_.reset();
    return true;
  }

  Fd fd_;
  Napi::FunctionReference callback_;
  std::shared_ptr<Pump> pump_;
};

void exportInotify(Napi::Env env, Napi::Object exports) {
  Addon::of(env).inotify = Napi::Persistent(InotifyHandle::define(env));
  exportFunction<InotifyHandle::open>(exports, "openInotify");
}

} // namespace shunt
