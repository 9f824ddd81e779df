// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include "bpf.h"
#include "object.h"
#include "pin.h"

namespace shunt {
namespace {

bool isCgroup(const bpf_link_info &info) {
  return info.type == BPF_LINK_TYPE_CGROUP;
}

uint32_t attachTypeOf(const bpf_link_info &info) {
  if (isCgroup(info))
    return info.cgroup.attach_type;
  return info.type == BPF_LINK_TYPE_NETNS ? info.netns.attach_type : 0;
}

Napi::Value openPinnedLink(const Napi::CallbackInfo &info) {
  std::string path = Arguments(info, "openPinnedLink").text(0, "path");
  return LinkHandle::open(info.Env(), openPin(info.Env(), path, "link"), path);
}

} // namespace

Napi::Function LinkHandle::define(Napi::Env env) {
  return DefineClass(env, kName,
                     {
                         InstanceMethod<&LinkHandle::info>("info"),
                         InstanceMethod<&LinkHandle::update>("update"),
                         InstanceMethod<&LinkHandle::pin>("pin"),
                         InstanceMethod<&LinkHandle::detach>("detach"),
                         InstanceMethod<&LinkHandle::close>("close"),
                     });
}

LinkHandle::LinkHandle(const Napi::CallbackInfo &info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Object LinkHandle::open(Napi::Env env, Fd fd, std::string subject) {
  LinkHandle &handle = construct<LinkHandle>(Addon::of(env).link);
  handle.fd_ = std::move(fd);
  handle.subject_ = std::move(subject);
  return handle.Value();
}

int LinkHandle::fd(Napi::Env env, const char *method) const {
  if (!fd_)
    failClosed(env, method, subject_.empty() ? "link" : subject_);
  return fd_.get();
}

Napi::Value LinkHandle::info(const Napi::CallbackInfo &info) {
  auto found = zeroed<bpf_link_info>();
  check(info.Env(), readInfo(fd(info.Env(), "info"), found), "bpf(BPF_OBJ_GET_INFO_BY_FD)",
        subject_);
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("id", found.id);
  object.Set("programId", found.prog_id);
  object.Set("type", found.type);
  object.Set("cgroupId",
             Napi::BigInt::New(info.Env(),
                               isCgroup(found) ? uint64_t{found.cgroup.cgroup_id} : uint64_t{0}));
  object.Set("attachType", attachTypeOf(found));
  bool isNetns = found.type == BPF_LINK_TYPE_NETNS;
  object.Set("netnsInode", isNetns ? uint32_t{found.netns.netns_ino} : uint32_t{0});
  return object;
}

void LinkHandle::update(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "update");
  int link = fd(info.Env(), "update");
  auto &object = arguments.handle<ObjectHandle>(0, "object");
  std::string program = arguments.text(1, "program");
  int programFd = object.programFd(info.Env(), "update", program);
  check(info.Env(), bpf_link_update(link, programFd, nullptr), "bpf(BPF_LINK_UPDATE)", program);
}

void LinkHandle::pin(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "pin");
  int link = fd(info.Env(), "pin");
  pinAt(info.Env(), link, arguments.text(0, "path"));
}

void LinkHandle::detach(const Napi::CallbackInfo &info) {
  check(info.Env(), bpf_link_detach(fd(info.Env(), "detach")), "bpf(BPF_LINK_DETACH)", subject_);
}

void exportLink(Napi::Env env, Napi::Object exports) {
  Addon::of(env).link = Napi::Persistent(LinkHandle::define(env));
  exportFunction<openPinnedLink>(exports, "openPinnedLink");
}

} // namespace shunt
