// SPDX-License-Identifier: Apache-2.0
// What may be set between open and load.
#include "map.h"
#include "object.h"

#include <bpf/btf.h>
#include <cstring>

namespace shunt {
namespace {

struct Variable {
  std::string section;
  uint32_t offset = 0;
  uint32_t size = 0;
};

// Looks a global variable up in the BTF's data sections. `size` is 0 if there is none.
Variable findVariable(const btf *types, const std::string &name) {
  for (uint32_t id = 1; id < btf__type_cnt(types); id++) {
    const btf_type *section = btf__type_by_id(types, id);
    if (!btf_is_datasec(section))
      continue;
    const btf_var_secinfo *variables = btf_var_secinfos(section);
    for (uint32_t i = 0; i < btf_vlen(section); i++) {
      const btf_type *variable = btf__type_by_id(types, variables[i].type);
      if (btf_is_var(variable) && name == btf__name_by_offset(types, variable->name_off))
        return {btf__name_by_offset(types, section->name_off), variables[i].offset,
                variables[i].size};
    }
  }
  return {};
}

void compare(std::string &differences, const char *what, uint32_t declared, uint32_t existing) {
  if (declared == existing)
    return;
  differences += differences.empty() ? "" : ", ";
  differences += std::string(what) + " " + std::to_string(declared) + " declared, " +
                 std::to_string(existing) + " existing";
}

} // namespace

bpf_object *ObjectHandle::unloaded(Napi::Env env, const char *method,
                                   const std::string &subject) const {
  bpf_object *object = opened(env, method);
  if (loaded_)
    fail(env, Failure{.syscall = method,
                      .subject = subject,
                      .error = EBUSY,
                      .text = name_ + " is loaded already"});
  return object;
}

void ObjectHandle::setVariable(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "setVariable");
  std::string name = arguments.text(0, "name");
  bpf_object *object = unloaded(info.Env(), "setVariable", name);
  const btf *types = bpf_object__btf(object);
  Variable variable = types ? findVariable(types, name) : Variable{};
  // Only sections that are maps have an image to write to; .kconfig and .ksyms are not ours to set.
  bpf_map *map = variable.section.starts_with(".k")
                     ? nullptr
                     : bpf_object__find_map_by_name(object, variable.section.c_str());
  size_t size = 0;
  auto *image = map ? static_cast<const uint8_t *>(bpf_map__initial_value(map, &size)) : nullptr;
  if (!image || variable.size == 0 || size_t{variable.offset} + variable.size > size)
    failNotFound(info.Env(), "setVariable", name, "no such variable in " + name_);
  Bytes bytes = arguments.bytes(1, "bytes", variable.size);
  std::vector<uint8_t> changed(image, image + size);
  std::memcpy(changed.data() + variable.offset, bytes.data(), bytes.size());
  check(info.Env(), bpf_map__set_initial_value(map, changed.data(), changed.size()),
        "bpf_map__set_initial_value", name);
}

void ObjectHandle::setMaxEntries(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "setMaxEntries");
  std::string name = arguments.text(0, "map");
  unloaded(info.Env(), "setMaxEntries", name);
  bpf_map *map = findMap(info.Env(), "setMaxEntries", name);
  check(info.Env(), bpf_map__set_max_entries(map, arguments.number(1, "entries")),
        "bpf_map__set_max_entries", name);
}

void ObjectHandle::setAutoload(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "setAutoload");
  std::string name = arguments.text(0, "program");
  unloaded(info.Env(), "setAutoload", name);
  bpf_program *program = findProgram(info.Env(), "setAutoload", name);
  check(info.Env(), bpf_program__set_autoload(program, arguments.flag(1, "load")),
        "bpf_program__set_autoload", name);
}

void ObjectHandle::reuseMap(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "reuseMap");
  std::string name = arguments.text(0, "map");
  unloaded(info.Env(), "reuseMap", name);
  bpf_map *map = findMap(info.Env(), "reuseMap", name);
  auto &existing = arguments.handle<MapHandle>(1, "existing");
  int fd = existing.fd(info.Env(), "reuseMap");
  // libbpf compares at load only, only for maps that it pins itself, and says no more than EINVAL.
  // Sizes may differ: entries are configuration.
  const MapShape &shape = existing.shape();
  std::string differences;
  compare(differences, "type", bpf_map__type(map), shape.type);
  compare(differences, "key size", bpf_map__key_size(map), shape.keySize);
  compare(differences, "value size", bpf_map__value_size(map), shape.valueSize);
  compare(differences, "flags", bpf_map__map_flags(map), shape.flags);
  if (!differences.empty())
    fail(info.Env(), Failure{.syscall = "reuseMap",
                             .subject = name,
                             .error = EINVAL,
                             .text = std::move(differences)});
  check(info.Env(), bpf_map__reuse_fd(map, fd), "bpf_map__reuse_fd", name);
}

} // namespace shunt
