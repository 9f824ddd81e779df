// SPDX-License-Identifier: Apache-2.0
// What is in the kernel, whoever made it.
#include "addon.h"
#include "args.h"
#include "bpf.h"
#include "link.h"
#include "map.h"
#include "program.h"

namespace shunt {
namespace {

struct Kind {
  const char *name;
  int (*next)(uint32_t, uint32_t *);
  int (*open)(uint32_t);
  const char *nextCall;
  const char *openCall;
};

constexpr Kind kKinds[] = {
    {"program", bpf_prog_get_next_id, bpf_prog_get_fd_by_id, "bpf(BPF_PROG_GET_NEXT_ID)",
     "bpf(BPF_PROG_GET_FD_BY_ID)"},
    {"map", bpf_map_get_next_id, bpf_map_get_fd_by_id, "bpf(BPF_MAP_GET_NEXT_ID)",
     "bpf(BPF_MAP_GET_FD_BY_ID)"},
    {"link", bpf_link_get_next_id, bpf_link_get_fd_by_id, "bpf(BPF_LINK_GET_NEXT_ID)",
     "bpf(BPF_LINK_GET_FD_BY_ID)"},
};

const Kind &kindOf(const Arguments &arguments) {
  std::string name = arguments.text(0, "kind");
  for (const Kind &kind : kKinds) {
    if (name == kind.name)
      return kind;
  }
  arguments.bad("kind", "must be program, map or link");
}

Fd openById(Napi::Env env, const Kind &kind, uint32_t id) {
  return Fd(check(env, kind.open(id), kind.openCall, std::to_string(id)));
}

Napi::Value exists(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "exists");
  const Kind &kind = kindOf(arguments);
  uint32_t id = arguments.number(1, "id");
  Fd fd(kind.open(id));
  // EAGAIN: a link that is being made.
  if (!fd && errno != ENOENT && errno != EAGAIN)
    fail(info.Env(), errno, kind.openCall, std::to_string(id));
  return Napi::Boolean::New(info.Env(), fd || errno == EAGAIN);
}

Napi::Value ids(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "ids");
  const Kind &kind = kindOf(arguments);
  Napi::Array list = Napi::Array::New(info.Env());
  uint32_t id = 0;
  int result;
  while ((result = kind.next(id, &id)) == 0)
    list.Set(list.Length(), id);
  if (errorOf(result) != ENOENT)
    fail(info.Env(), errorOf(result), kind.nextCall, kind.name);
  return list;
}

Napi::Value programById(const Napi::CallbackInfo &info) {
  uint32_t id = Arguments(info, "programById").number(0, "id");
  Fd fd = openById(info.Env(), kKinds[0], id);
  auto facts = zeroed<bpf_prog_info>();
  const char *call = "bpf(BPF_OBJ_GET_INFO_BY_FD)";
  check(info.Env(), readInfo(fd.get(), facts), call, std::to_string(id));
  // The first call counts the maps, the second one fetches them.
  std::vector<uint32_t> maps(facts.nr_map_ids);
  auto request = zeroed<bpf_prog_info>();
  request.nr_map_ids = maps.size();
  request.map_ids = reinterpret_cast<uint64_t>(maps.data());
  check(info.Env(), readInfo(fd.get(), request), call, std::to_string(id));
  Napi::Object program = programInfo(info.Env(), facts.name, "", facts);
  program.Set("type", facts.type);
  Napi::Array mapIds = Napi::Array::New(info.Env());
  for (uint32_t map : maps)
    mapIds.Set(mapIds.Length(), map);
  program.Set("mapIds", mapIds);
  return program;
}

Napi::Value mapById(const Napi::CallbackInfo &info) {
  uint32_t id = Arguments(info, "mapById").number(0, "id");
  return MapHandle::open(info.Env(), openById(info.Env(), kKinds[1], id));
}

Napi::Value linkById(const Napi::CallbackInfo &info) {
  uint32_t id = Arguments(info, "linkById").number(0, "id");
  return LinkHandle::open(info.Env(), openById(info.Env(), kKinds[2], id),
                          "link " + std::to_string(id));
}

Napi::Value queryCgroup(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "queryCgroup");
  std::string path = arguments.text(0, "cgroup");
  auto type = static_cast<bpf_attach_type>(arguments.number(1, "attachType"));
  Fd cgroup(
      check(info.Env(), open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", path));
  std::vector<uint32_t> programs(16);
  uint32_t flags = 0, count = 0;
  int result;
  do {
    count = programs.size();
    result = bpf_prog_query(cgroup.get(), type, 0, &flags, programs.data(), &count);
    if (result < 0 && errorOf(result) == ENOSPC)
      programs.resize(programs.size() * 2);
  } while (result < 0 && errorOf(result) == ENOSPC);
  check(info.Env(), result, "bpf(BPF_PROG_QUERY)", path);

  Napi::Array programIds = Napi::Array::New(info.Env());
  for (uint32_t i = 0; i < count; i++)
    programIds.Set(i, programs[i]);
  Napi::Object found = Napi::Object::New(info.Env());
  found.Set("programIds", programIds);
  found.Set("flags", flags);
  return found;
}

} // namespace

Napi::Object programInfo(Napi::Env env, const std::string &name, const std::string &section,
                         const bpf_prog_info &info) {
  std::string tag;
  if (info.id != 0) {
    char hex[3];
    for (uint8_t byte : info.tag) {
      snprintf(hex, sizeof(hex), "%02x", byte);
      tag += hex;
    }
  }
  Napi::Object program = Napi::Object::New(env);
  program.Set("name", name);
  program.Set("section", section);
  program.Set("id", info.id);
  program.Set("tag", tag);
  program.Set("runTimeNs", Napi::BigInt::New(env, uint64_t{info.run_time_ns}));
  program.Set("runCount", Napi::BigInt::New(env, uint64_t{info.run_cnt}));
  return program;
}

void exportIds(Napi::Env, Napi::Object exports) {
  exportFunction<exists>(exports, "exists");
  exportFunction<ids>(exports, "ids");
  exportFunction<programById>(exports, "programById");
  exportFunction<mapById>(exports, "mapById");
  exportFunction<linkById>(exports, "linkById");
  exportFunction<queryCgroup>(exports, "queryCgroup");
}

} // namespace shunt
