// SPDX-License-Identifier: Apache-2.0
#include "object.h"

#include "log.h"
#include "map.h"
#include "program.h"

#include <csignal>

namespace shunt {
namespace {

Napi::Object declaration(Napi::Env env, const bpf_map *map) {
  Napi::Object declared = Napi::Object::New(env);
  declared.Set("name", bpf_map__name(map));
  declared.Set("type", static_cast<uint32_t>(bpf_map__type(map)));
  declared.Set("keySize", bpf_map__key_size(map));
  declared.Set("valueSize", bpf_map__value_size(map));
  declared.Set("maxEntries", bpf_map__max_entries(map));
  declared.Freeze();
  return declared;
}

Napi::Value openObject(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "openObject");
  Bytes bytes = arguments.bytes(0, "bytes");
  return ObjectHandle::open(info.Env(), bytes, arguments.text(1, "name"));
}

} // namespace

Napi::Function ObjectHandle::define(Napi::Env env) {
  return DefineClass(env, kName,
                     {
                         InstanceMethod<&ObjectHandle::programs>("programs"),
                         InstanceMethod<&ObjectHandle::setVariable>("setVariable"),
                         InstanceMethod<&ObjectHandle::setMaxEntries>("setMaxEntries"),
                         InstanceMethod<&ObjectHandle::setAutoload>("setAutoload"),
                         InstanceMethod<&ObjectHandle::reuseMap>("reuseMap"),
                         InstanceMethod<&ObjectHandle::load>("load"),
                         InstanceMethod<&ObjectHandle::map>("map"),
                         InstanceMethod<&ObjectHandle::attachCgroup>("attachCgroup"),
                         InstanceMethod<&ObjectHandle::attachNetns>("attachNetns"),
                         InstanceMethod<&ObjectHandle::iterateCgroup>("iterateCgroup"),
                         InstanceMethod<&ObjectHandle::iterateTask>("iterateTask"),
                         InstanceMethod<&ObjectHandle::close>("close"),
                     });
}

ObjectHandle::ObjectHandle(const Napi::CallbackInfo &info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Object ObjectHandle::open(Napi::Env env, Bytes bytes, std::string name) {
  auto settings = options<bpf_object_open_opts>();
  settings.object_name = name.c_str();
  LogCapture log;
  bpf_object *object = bpf_object__open_mem(bytes.data(), bytes.size(), &settings);
  if (!object)
    fail(env, Failure{.syscall = "bpf_object__open",
                      .subject = name,
                      .error = errno,
                      .text = lastMessage(log.text())});
  std::unique_ptr<bpf_object, Close> owned(object);

  ObjectHandle &handle = construct<ObjectHandle>(Addon::of(env).object);
  handle.object_ = std::move(owned);
  handle.name_ = std::move(name);
  Napi::Array maps = Napi::Array::New(env);
  bpf_map *map;
  bpf_object__for_each_map(map, object) {
    handle.maps_.emplace_back(bpf_map__name(map), map);
    maps.Set(maps.Length(), declaration(env, map));
  }
  maps.Freeze();
  handle.Value().DefineProperty(Napi::PropertyDescriptor::Value("maps", maps, napi_enumerable));
  return handle.Value();
}

bpf_object *ObjectHandle::opened(Napi::Env env, const char *method) const {
  if (!object_)
    failClosed(env, method, name_);
  return object_.get();
}

bpf_map *ObjectHandle::findMap(Napi::Env env, const char *method, const std::string &name) const {
  bpf_object *object = opened(env, method);
  for (const auto &[declared, map] : maps_) {
    if (declared == name)
      return map;
  }
  // ".rodata" for what is called "<object>.rodata".
  bpf_map *map =
      name.starts_with('.') ? bpf_object__find_map_by_name(object, name.c_str()) : nullptr;
  if (!map)
    failNotFound(env, method, name, "no such map in " + name_);
  return map;
}

bpf_program *ObjectHandle::findProgram(Napi::Env env, const char *method,
                                       const std::string &name) const {
  bpf_program *program = bpf_object__find_program_by_name(opened(env, method), name.c_str());
  if (!program)
    failNotFound(env, method, name, "no such program in " + name_);
  return program;
}

int ObjectHandle::programFd(Napi::Env env, const char *method, const std::string &name) const {
  int fd = bpf_program__fd(findProgram(env, method, name));
  if (fd < 0)
    failNotFound(env, method, name, "the program is not loaded");
  return fd;
}

Napi::Value ObjectHandle::programs(const Napi::CallbackInfo &info) {
  Napi::Array list = Napi::Array::New(info.Env());
  bpf_object *object = opened(info.Env(), "programs");
  bpf_program *program;
  bpf_object__for_each_program(program, object) {
    auto facts = zeroed<bpf_prog_info>();
    std::string name = bpf_program__name(program);
    if (int fd = bpf_program__fd(program); fd >= 0)
      check(info.Env(), readInfo(fd, facts), "bpf(BPF_OBJ_GET_INFO_BY_FD)", name);
    list.Set(list.Length(),
             programInfo(info.Env(), name, bpf_program__section_name(program), facts));
  }
  return list;
}

namespace {

/** Holds signals back on this thread: the verifier gives up with EAGAIN when one is pending, and
 * libbpf tries only five times (a profiler or a timer sends one each millisecond). */
class SignalsBlocked {
public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked &) = delete;
  SignalsBlocked &operator=(const SignalsBlocked &) = delete;

private:
  sigset_t before_;
};

} // namespace

void ObjectHandle::load(const Napi::CallbackInfo &info) {
  bpf_object *object = unloaded(info.Env(), "load", name_);
  LogCapture log;
  SignalsBlocked blocked;
  int result = bpf_object__load(object);
  if (result < 0)
    fail(info.Env(), loadFailure(log.text(), errorOf(result), name_));
  loaded_ = true;
}

Napi::Value ObjectHandle::map(const Napi::CallbackInfo &info) {
  std::string name = Arguments(info, "map").text(0, "name");
  bpf_map *found = findMap(info.Env(), "map", name);
  if (!loaded_)
    failNotFound(info.Env(), "map", name, "the object is not loaded");
  Fd fd = Fd::duplicate(bpf_map__fd(found));
  if (!fd)
    fail(info.Env(), errno, "fcntl(F_DUPFD_CLOEXEC)", name);
  return MapHandle::open(info.Env(), std::move(fd));
}

void exportObject(Napi::Env env, Napi::Object exports) {
  Addon::of(env).object = Napi::Persistent(ObjectHandle::define(env));
  exportFunction<openObject>(exports, "openObject");
}

} // namespace shunt
