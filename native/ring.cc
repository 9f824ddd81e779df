// SPDX-License-Identifier: Apache-2.0
#include "ring.h"

#include "addon.h"
#include "args.h"
#include "map.h"
#include "pump.h"

#include <linux/bpf.h>

namespace shunt {

// So many records a turn of the loop: other events wait no longer than these take, about 1 ms.
constexpr size_t kBatch = 1024;

/// An open one keeps itself alive, like every handle of Node that waits for events: nobody has to
/// hold it for the callback to come. Only `close` or the environment's end closes it.
class RingHandle : public Napi::ObjectWrap<RingHandle> {
public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeRing",
                       {
                           InstanceMethod<&RingHandle::drain>("drain"),
                           InstanceMethod<&RingHandle::ref>("ref"),
                           InstanceMethod<&RingHandle::unref>("unref"),
                           InstanceMethod<&RingHandle::close>("close"),
                       });
  }

  explicit RingHandle(const Napi::CallbackInfo &info) : ObjectWrap(info) {}
  ~RingHandle() override { release(); }

  static Napi::Value open(const Napi::CallbackInfo &info) {
    Arguments arguments(info, "openRing");
    auto &map = arguments.handle<MapHandle>(0, "map");
    Napi::Function callback = arguments.function(1, "onRecords");
    int fd = map.fd(info.Env(), "openRing");
    if (map.shape().type != BPF_MAP_TYPE_RINGBUF)
      arguments.bad("map", map.shape().name + " is not a RINGBUF");
    Fd own = Fd::duplicate(fd);
    if (!own)
      fail(info.Env(), errno, "fcntl(F_DUPFD_CLOEXEC)", map.shape().name);

    RingHandle &handle = construct<RingHandle>(Addon::of(info.Env()).ring);
    int error = handle.reader_.open(std::move(own), map.shape().maxEntries);
    if (error != 0)
      fail(info.Env(), error, "mmap", map.shape().name);
    handle.name_ = map.shape().name;
    handle.callback_ = Napi::Persistent(callback);
    handle.pump_ = Pump::start(info.Env(), "shunt-ring", handle.reader_.fd(),
                               [&handle](Napi::Env env) { return handle.turn(env); });
    handle.Ref();
    return handle.Value();
  }

private:
  bool turn(Napi::Env env) {
    std::vector<RingReader::Record> records;
    bool more = reader_.take(records, kBatch);
    if (!records.empty())
      callBack(env, callback_, toRecords(env, records));
    return more;
  }

  static Napi::Array toRecords(Napi::Env env, const std::vector<RingReader::Record> &records) {
    Napi::Array list = Napi::Array::New(env, records.size());
    for (uint32_t i = 0; i < records.size(); i++)
      list.Set(i, toArray(env, records[i]));
    return list;
  }

  Napi::Value drain(const Napi::CallbackInfo &info) {
    opened(info.Env(), "drain");
    std::vector<RingReader::Record> records;
    // Up to where the producers are now, or a flood would keep us here.
    for (uint64_t end = reader_.end(); reader_.position() < end;) {
      if (!reader_.take(records, records.size() + 1))
        break;
    }
    // Stopped in the middle, nobody may wake us for what has come since.
    pump_->poke();
    if (!records.empty())
      callback_.Value().Call({toRecords(info.Env(), records)});
    return Napi::Number::New(info.Env(), records.size());
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
      failClosed(env, method, name_.empty() ? "ring" : name_);
  }
  bool release() {
    if (!pump_)
      return false;
    std::exchange(pump_, nullptr)->stop();
    // Or a callback that knows its handle would keep both for good.
    callback_.Reset();
    reader_.close();
    return true;
  }

  RingReader reader_;
  Napi::FunctionReference callback_;
  std::shared_ptr<Pump> pump_;
  std::string name_;
};

void exportRing(Napi::Env env, Napi::Object exports) {
  Addon::of(env).ring = Napi::Persistent(RingHandle::define(env));
  exportFunction<RingHandle::open>(exports, "openRing");
}

} // namespace shunt
