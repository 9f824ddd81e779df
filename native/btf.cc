// SPDX-License-Identifier: Apache-2.0
#include "addon.h"
#include "args.h"
#include "bpf.h"
#include "log.h"

#include <bpf/btf.h>
#include <memory>

namespace shunt {
namespace {

struct Close {
  void operator()(bpf_object *object) const { bpf_object__close(object); }
};

// A member's type without typedefs, qualifiers and array dimensions.
struct Core {
  const btf_type *type;
  uint32_t id;
  // Product of all dimensions, 0 if it is no array.
  uint32_t elements = 0;
};

Core coreOf(const btf *types, uint32_t id) {
  Core core{btf__type_by_id(types, id), id};
  for (;;) {
    if (btf_is_mod(core.type) || btf_is_typedef(core.type)) {
      core.id = core.type->type;
    } else if (btf_is_array(core.type)) {
      const struct btf_array *array = ::btf_array(core.type);
      core.elements = (core.elements ? core.elements : 1) * array->nelems;
      core.id = array->type;
    } else {
      return core;
    }
    core.type = btf__type_by_id(types, core.id);
  }
}

std::string nameOf(const btf *types, const btf_type *type) {
  return btf__name_by_offset(types, type->name_off);
}

// Appends the members. Those of an anonymous struct or union count as the parent's, as in C.
// Bit fields have no byte offset and are left out.
void addMembers(Napi::Env env, Napi::Array list, const btf *types, const btf_type *type,
                uint32_t base) {
  const btf_member *members = btf_members(type);
  for (uint32_t i = 0; i < btf_vlen(type); i++) {
    uint32_t bits = btf_member_bit_offset(type, i);
    if (btf_member_bitfield_size(type, i) != 0 || bits % 8 != 0)
      continue;
    std::string name = btf__name_by_offset(types, members[i].name_off);
    Core core = coreOf(types, members[i].type);
    if (name.empty() && btf_is_composite(core.type)) {
      addMembers(env, list, types, core.type, base + bits / 8);
      continue;
    }
    Napi::Object member = Napi::Object::New(env);
    member.Set("name", name);
    member.Set("offset", base + bits / 8);
    member.Set("size", Napi::Number::New(env, btf__resolve_size(types, members[i].type)));
    member.Set("elements", core.elements);
    member.Set("struct", btf_is_struct(core.type) ? nameOf(types, core.type) : "");
    list.Set(list.Length(), member);
  }
}

Napi::Object structOf(Napi::Env env, const btf *types, const btf_type *type) {
  Napi::Array members = Napi::Array::New(env);
  addMembers(env, members, types, type, 0);
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", nameOf(types, type));
  object.Set("size", type->size);
  object.Set("members", members);
  return object;
}

Napi::Object enumOf(Napi::Env env, const btf *types, const btf_type *type) {
  Napi::Array values = Napi::Array::New(env);
  for (uint32_t i = 0; i < btf_vlen(type); i++) {
    uint32_t name;
    double number;
    if (btf_is_enum64(type)) {
      const struct btf_enum64 &value = ::btf_enum64(type)[i];
      name = value.name_off;
      uint64_t bits = btf_enum64_value(&value);
      number = btf_kflag(type) ? static_cast<double>(static_cast<int64_t>(bits))
                               : static_cast<double>(bits);
    } else {
      // clang 14 does not say whether it is signed; values above INT_MAX are not ours to have.
      name = btf_enum(type)[i].name_off;
      number = btf_enum(type)[i].val;
    }
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", btf__name_by_offset(types, name));
    object.Set("value", number);
    values.Set(i, object);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", nameOf(types, type));
  object.Set("values", values);
  return object;
}

Napi::Value readBtf(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "readBtf");
  Bytes bytes = arguments.bytes(0, "bytes");
  std::string name = arguments.text(1, "name");
  auto settings = options<bpf_object_open_opts>();
  settings.object_name = name.c_str();
  // btf__parse_elf takes a path only; opening the object makes no system call either.
  LogCapture log;
  std::unique_ptr<bpf_object, Close> object(
      bpf_object__open_mem(bytes.data(), bytes.size(), &settings));
  if (!object)
    fail(info.Env(), Failure{.syscall = "bpf_object__open",
                             .subject = name,
                             .error = errno,
                             .text = lastMessage(log.text())});
  const btf *types = bpf_object__btf(object.get());
  if (!types)
    failNotFound(info.Env(), "readBtf", name, "the object has no BTF");

  Napi::Array structs = Napi::Array::New(info.Env());
  Napi::Array enums = Napi::Array::New(info.Env());
  for (uint32_t id = 1; id < btf__type_cnt(types); id++) {
    const btf_type *type = btf__type_by_id(types, id);
    if (nameOf(types, type).empty())
      continue;
    if (btf_is_struct(type))
      structs.Set(structs.Length(), structOf(info.Env(), types, type));
    else if (btf_is_any_enum(type))
      enums.Set(enums.Length(), enumOf(info.Env(), types, type));
  }
  Napi::Object found = Napi::Object::New(info.Env());
  found.Set("structs", structs);
  found.Set("enums", enums);
  return found;
}

} // namespace

void exportBtf(Napi::Env, Napi::Object exports) {
  exportFunction<readBtf>(exports, "readBtf");
}

} // namespace shunt
