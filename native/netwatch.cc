// SPDX-License-Identifier: Apache-2.0
#include "addon.h"
#include "args.h"
#include "netns.h"
#include "pump.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unordered_map>

namespace shunt {

/// Like RingHandle, an open one keeps itself alive until `close`.
class NetwatchHandle : public Napi::ObjectWrap<NetwatchHandle> {
public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeNetnsWatch",
                       {
                           InstanceMethod<&NetwatchHandle::add>("add"),
                           InstanceMethod<&NetwatchHandle::remove>("remove"),
                           InstanceMethod<&NetwatchHandle::ref>("ref"),
                           InstanceMethod<&NetwatchHandle::unref>("unref"),
                           InstanceMethod<&NetwatchHandle::close>("close"),
                       });
  }

  explicit NetwatchHandle(const Napi::CallbackInfo &info) : ObjectWrap(info) {}
  ~NetwatchHandle() override { release(); }

  static Napi::Value open(const Napi::CallbackInfo &info) {
    Napi::Function callback = Arguments(info, "openNetnsWatch").function(0, "onChange");
    NetwatchHandle &handle = construct<NetwatchHandle>(Addon::of(info.Env()).netnsWatch);
    handle.epoll_ = Fd(check(info.Env(), epoll_create1(EPOLL_CLOEXEC), "epoll_create1", ""));
    handle.callback_ = Napi::Persistent(callback);
    // An epoll descriptor can itself be waited for (epoll(7)): one thread for all sockets.
    handle.pump_ = Pump::start(info.Env(), "shunt-netwatch", handle.epoll_.get(),
                               [&handle](Napi::Env env) { return handle.turn(env); });
    handle.Ref();
    return handle.Value();
  }

private:
  class Listen;

  // What a socket has to say is not looked at: whoever hears of a change looks at everything.
  // A socket that has more than this is readable in the next turn again.
  static void drain(int fd) {
    for (int i = 0; i < 64; i++) {
      // ENOBUFS, once, says that messages were lost: it is cleared by being read.
      if (recv(fd, nullptr, 0, MSG_DONTWAIT | MSG_TRUNC) < 0 && errno != ENOBUFS && errno != EINTR)
        return;
    }
  }

  // One wait a turn; the one that finds nothing ends it.
  bool turn(Napi::Env env) {
    epoll_event events[256];
    int count = epoll_wait(epoll_.get(), events, 256, 0);
    if (count <= 0)
      return count < 0 && errno == EINTR;
    Napi::Array ids = Napi::Array::New(env);
    for (int i = 0; i < count; i++) {
      auto found = sockets_.find(events[i].data.u32);
      if (found == sockets_.end())
        continue;
      drain(found->second.get());
      ids.Set(ids.Length(), found->first);
    }
    callBack(env, callback_, ids);
    return true;
  }

  Napi::Value add(const Napi::CallbackInfo &info);

  uint32_t listen(Napi::Env env, Fd socket) {
    opened(env, "add");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = ++lastId_;
    check(env, epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.get(), &event), "epoll_ctl",
          "EPOLL_CTL_ADD");
    sockets_[lastId_] = std::move(socket);
    return lastId_;
  }

  void remove(const Napi::CallbackInfo &info) {
    Arguments arguments(info, "remove");
    opened(info.Env(), "remove");
    auto found = sockets_.find(arguments.number(0, "id"));
    if (found == sockets_.end())
      return;
    // Closing alone would leave it there as long as a child between fork and exec has it.
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.get(), nullptr);
    sockets_.erase(found);
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
      failClosed(env, method, "netns watch");
  }
  bool release() {
    if (!pump_)
      return false;
    std::exchange(pump_, nullptr)->stop();
    // Or a callback that knows its handle would keep both for good.
    callback_.Reset();
    epoll_.reset();
    sockets_.clear();
    return true;
  }

  Fd epoll_;
  std::unordered_map<uint32_t, Fd> sockets_;
  uint32_t lastId_ = 0;
  Napi::FunctionReference callback_;
  std::shared_ptr<Pump> pump_;
};

/// Opens the socket in the namespace, then gives it to the handle, unless that was closed
/// meanwhile.
class NetwatchHandle::Listen : public NetnsJob {
public:
  Listen(NetwatchHandle &handle, std::string path)
      : NetnsJob(handle.Env(), "openNetnsWatch", std::move(path)), handle_(handle),
        alive_(Napi::Persistent(handle.Value())) {}

private:
  void inside() override {
    Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
    if (!socket)
      return failed("socket");
    // The smallest that there is: an overflow tells as much as a message, and costs no memory.
    int size = 0;
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                        RTMGRP_IPV6_ROUTE;
    if (bind(socket.get(), reinterpret_cast<const sockaddr *>(&address), sizeof(address)) < 0)
      return failed("bind");
    socket_ = std::move(socket);
  }

  Napi::Value result() override {
    return Napi::Number::New(Env(), handle_.listen(Env(), std::move(socket_)));
  }

  NetwatchHandle &handle_;
  Napi::ObjectReference alive_;
  Fd socket_;
};

Napi::Value NetwatchHandle::add(const Napi::CallbackInfo &info) {
  std::string path = Arguments(info, "add").text(0, "path");
  opened(info.Env(), "add");
  return (new Listen(*this, std::move(path)))->start();
}

void exportNetwatch(Napi::Env env, Napi::Object exports) {
  Addon::of(env).netnsWatch = Napi::Persistent(NetwatchHandle::define(env));
  exportFunction<NetwatchHandle::open>(exports, "openNetnsWatch");
}

} // namespace shunt
