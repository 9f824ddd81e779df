// SPDX-License-Identifier: Apache-2.0
#include "pump.h"

#include "addon.h"
#include "error.h"

#include <csignal>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>

namespace shunt {
namespace {

void watch(Napi::Env env, int epoll, int fd, bool isSource) {
  epoll_event event{};
  // Edge-triggered: a record that is reserved but not committed makes a ring readable, and a level
  // would turn that into a busy loop.
  event.events = isSource ? static_cast<uint32_t>(EPOLLIN | EPOLLET) : EPOLLIN;
  event.data.u32 = isSource;
  check(env, epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl", "EPOLL_CTL_ADD");
}

// Errors in code that JavaScript did not call have nobody to be thrown at.
void report(Napi::Env env, const Napi::Error &error) {
  napi_value value = error.Value();
  if (value)
    napi_fatal_exception(env, value);
}

} // namespace

Pump::Pump(Napi::Env env, Turn turn) : env_(env), turn_(std::move(turn)) {}

std::shared_ptr<Pump> Pump::start(Napi::Env env, const char *name, int source, Turn turn) {
  std::shared_ptr<Pump> pump(new Pump(env, std::move(turn)));
  pump->launch(name, source);
  return pump;
}

void Pump::launch(const char *name, int source) {
  epoll_ = Fd(check(env_, epoll_create1(EPOLL_CLOEXEC), "epoll_create1", name));
  stopEvent_ = Fd(check(env_, eventfd(0, EFD_CLOEXEC), "eventfd", name));
  watch(env_, epoll_.get(), source, true);
  watch(env_, epoll_.get(), stopEvent_.get(), false);
  napi_value resource = Napi::String::New(env_, name);
  if (napi_create_threadsafe_function(env_, nullptr, nullptr, resource, 0, 1, nullptr, nullptr,
                                      this, onWake, &wakeup_) != napi_ok)
    throw Napi::Error::New(env_);
  // Hooks run last in, first out: the thread ends before Node takes its wake-up away.
  napi_add_env_cleanup_hook(env_, onCleanup, this);
  // The process's signals belong to Node's threads.
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int error = 0;
  try {
    thread_ = std::thread(&Pump::run, this);
  } catch (const std::system_error &failure) {
    error = failure.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (error != 0) {
    stop();
    fail(env_, error, "pthread_create", name);
  }
  pthread_setname_np(thread_.native_handle(), name);
}

// The thread.
void Pump::run() {
  for (;;) {
    epoll_event events[2];
    int count = epoll_wait(epoll_.get(), events, 2, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.u32 == 0)
        return;
    }
    if (count > 0)
      poke();
  }
}

void Pump::onWake(napi_env env, napi_value, void *context, void *) {
  // Without an environment the pump may be gone already.
  if (env)
    static_cast<Pump *>(context)->wake(env);
}

void Pump::wake(Napi::Env env) {
  pending_.store(false);
  // A turn is due anyway.
  if (!again_)
    takeTurn(env);
}

void Pump::takeTurn(Napi::Env env) {
  // The callback may close the handle that owns this.
  std::shared_ptr<Pump> self = shared_from_this();
  Napi::HandleScope scope(env);
  again_ = false;
  if (!wakeup_)
    return;
  // What a turn could not hand over because it threw, the next one has to.
  bool more = true;
  try {
    more = turn_(env);
  } catch (const Napi::Error &error) {
    report(env, error);
  }
  if (more && wakeup_)
    scheduleTurn(env);
}

// Not by the thread-safe function: Node runs up to 1,000 of its calls in one turn of the loop.
void Pump::scheduleTurn(Napi::Env env) {
  again_ = true;
  std::weak_ptr<Pump> weak = weak_from_this();
  try {
    auto next = Napi::Function::New(env, [weak](const Napi::CallbackInfo &info) {
      if (std::shared_ptr<Pump> pump = weak.lock())
        pump->takeTurn(info.Env());
    });
    Napi::Value immediate = Addon::of(env).setImmediate.Call({next});
    if (!referenced_)
      immediate.As<Napi::Object>().Get("unref").As<Napi::Function>().Call(immediate, {});
  } catch (const Napi::Error &error) {
    again_ = false;
    report(env, error);
  }
}

void Pump::poke() {
  if (wakeup_ && !pending_.exchange(true))
    napi_call_threadsafe_function(wakeup_, nullptr, napi_tsfn_nonblocking);
}

void Pump::ref(Napi::Env env) {
  referenced_ = true;
  if (wakeup_)
    napi_ref_threadsafe_function(env, wakeup_);
}

void Pump::unref(Napi::Env env) {
  referenced_ = false;
  if (wakeup_)
    napi_unref_threadsafe_function(env, wakeup_);
}

void Pump::stop() {
  if (!wakeup_)
    return;
  napi_remove_env_cleanup_hook(env_, onCleanup, this);
  halt();
}

void Pump::onCleanup(void *context) {
  static_cast<Pump *>(context)->halt();
}

void Pump::halt() {
  uint64_t one = 1;
  // An eventfd that is 0 takes a write.
  if (thread_.joinable() && write(stopEvent_.get(), &one, sizeof(one)) == sizeof(one))
    thread_.join();
  napi_release_threadsafe_function(std::exchange(wakeup_, nullptr), napi_tsfn_abort);
}

void callBack(Napi::Env env, const Napi::FunctionReference &callback, napi_value argument) {
  napi_value receiver, exception;
  napi_get_undefined(env, &receiver);
  // The C interface: while a worker is being terminated nothing can be called and nothing thrown,
  // and that is no reason to abort.
  napi_status status = napi_call_function(env, receiver, callback.Value(), 1, &argument, nullptr);
  bool thrown = false;
  napi_is_exception_pending(env, &thrown);
  if (status != napi_ok && thrown && napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
}

} // namespace shunt
