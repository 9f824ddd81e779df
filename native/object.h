// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "addon.h"
#include "args.h"
#include "bpf.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace shunt {

/// A BPF object file. Closed until `open`.
class ObjectHandle : public Napi::ObjectWrap<ObjectHandle> {
public:
  static constexpr napi_type_tag kTag{0x7368756e742e6f62, 0x6a65637431};
  static constexpr const char *kName = "NativeObject";

  static Napi::Function define(Napi::Env env);
  /// Throws ENOEXEC and the like if the bytes are no BPF object.
  static Napi::Object open(Napi::Env env, Bytes bytes, std::string name);

  explicit ObjectHandle(const Napi::CallbackInfo &info);

  /// The descriptor of a loaded program. Throws ERR_NOT_FOUND if there is none.
  int programFd(Napi::Env env, const char *method, const std::string &program) const;

private:
  struct Close {
    void operator()(bpf_object *object) const { bpf_object__close(object); }
  };

  // object.cc
  Napi::Value programs(const Napi::CallbackInfo &info);
  Napi::Value map(const Napi::CallbackInfo &info);
  void load(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &) { object_.reset(); }
  // object_setup.cc
  void setVariable(const Napi::CallbackInfo &info);
  void setMaxEntries(const Napi::CallbackInfo &info);
  void setAutoload(const Napi::CallbackInfo &info);
  void reuseMap(const Napi::CallbackInfo &info);
  // object_attach.cc
  Napi::Value attachCgroup(const Napi::CallbackInfo &info);
  Napi::Value attachNetns(const Napi::CallbackInfo &info);
  Napi::Value iterateCgroup(const Napi::CallbackInfo &info);
  Napi::Value iterateTask(const Napi::CallbackInfo &info);

  bpf_object *opened(Napi::Env env, const char *method) const;
  /// Throws EBUSY once the object is loaded.
  bpf_object *unloaded(Napi::Env env, const char *method, const std::string &subject) const;
  bpf_map *findMap(Napi::Env env, const char *method, const std::string &name) const;
  bpf_program *findProgram(Napi::Env env, const char *method, const std::string &name) const;
  Napi::Value attach(Napi::Env env, const char *method, const std::string &program,
                     const std::string &path, int flags);
  /// What the program wrote during one walk over `target`.
  Napi::Value iterate(Napi::Env env, const char *method, const std::string &program,
                      const bpf_iter_link_info &target);

  std::unique_ptr<bpf_object, Close> object_;
  std::string name_;
  bool loaded_ = false;
  /// By declared name: libbpf renames a map that is reused.
  std::vector<std::pair<std::string, bpf_map *>> maps_;
};

} // namespace shunt
