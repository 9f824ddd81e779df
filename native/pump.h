// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "fd.h"

#include <atomic>
#include <functional>
#include <memory>
#include <napi.h>
#include <thread>

namespace shunt {

/// Runs a function on the JavaScript thread each time that a descriptor becomes readable.
///
/// A thread of its own sleeps in epoll_wait, edge-triggered, and does nothing but wake the loop:
/// Node-API has no way to put a descriptor into the loop, and uv.h does not come with it. The data
/// is read on the JavaScript thread only, so there is nothing to lock.
class Pump : public std::enable_shared_from_this<Pump> {
public:
  /// Hands over a bounded batch. Returns whether more may be waiting: it is then called again in
  /// the loop's next turn. If it returns false, what comes later must wake the descriptor anew.
  using Turn = std::function<bool(Napi::Env)>;

  /// `source` must stay open until `stop`. Keeps the process alive until `stop` or `unref`.
  static std::shared_ptr<Pump> start(Napi::Env env, const char *name, int source, Turn turn);
  ~Pump() { stop(); }

  void ref(Napi::Env env);
  void unref(Napi::Env env);
  /// Has a turn run soon. From any thread, until `stop`.
  void poke();
  /// Ends the thread; no turn runs afterwards. May be called from within a turn, and twice.
  void stop();

private:
  Pump(Napi::Env env, Turn turn);
  void launch(const char *name, int source);
  void run();
  void halt();
  void wake(Napi::Env env);
  void takeTurn(Napi::Env env);
  void scheduleTurn(Napi::Env env);

  static void onWake(napi_env env, napi_value, void *context, void *);
  static void onCleanup(void *context);

  Napi::Env env_;
  Turn turn_;
  Fd epoll_;
  Fd stopEvent_;
  std::thread thread_;
  napi_threadsafe_function wakeup_ = nullptr;
  // Set while a wake-up is on its way, so that a flood queues one and no more.
  std::atomic<bool> pending_{false};
  bool again_ = false;
  bool referenced_ = true;
};

/// Calls back. What it throws becomes an uncaught exception, as with any other event of Node.
void callBack(Napi::Env env, const Napi::FunctionReference &callback, napi_value argument);

} // namespace shunt
