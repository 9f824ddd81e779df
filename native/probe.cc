// SPDX-License-Identifier: Apache-2.0
#include "probe.h"

#include "addon.h"
#include "bpf.h"
#include "log.h"

#include <bpf/btf.h>
#include <memory>

namespace shunt {
namespace {

struct FreeBtf {
  void operator()(btf *types) const { btf__free(types); }
};

// Socket storage wants to know the types of its key and value.
struct StorageTypes {
  Fd btf;
  uint32_t key = 0;
  uint32_t value = 0;
};

StorageTypes loadStorageTypes() {
  std::unique_ptr<btf, FreeBtf> types(btf__new_empty());
  if (!types)
    return {};
  StorageTypes loaded;
  loaded.key = btf__add_int(types.get(), "int", 4, BTF_INT_SIGNED);
  loaded.value = btf__add_struct(types.get(), "origin", 4);
  btf__add_field(types.get(), "address", loaded.key, 0, 0);
  uint32_t size = 0;
  const void *data = btf__raw_data(types.get(), &size);
  loaded.btf = Fd(data ? bpf_btf_load(data, size, nullptr) : -1);
  return loaded;
}

Fd createMap(const MapProbe &probe, const StorageTypes &types) {
  auto settings = options<bpf_map_create_opts>();
  settings.map_flags = probe.flags;
  if (probe.type == BPF_MAP_TYPE_SK_STORAGE) {
    if (!types.btf)
      return Fd();
    settings.btf_fd = types.btf.get();
    settings.btf_key_type_id = types.key;
    settings.btf_value_type_id = types.value;
  }
  return Fd(bpf_map_create(probe.type, "shunt_probe", probe.keySize, probe.valueSize, probe.entries,
                           &settings));
}

// Empty if it loads, else why it does not.
std::string loadProgram(const ProgramProbe &probe, const ProbeMaps &maps) {
  auto settings = options<bpf_prog_load_opts>();
  settings.expected_attach_type = probe.attach;
  if (probe.attach == BPF_TRACE_ITER) {
    LogCapture quiet;
    int id = libbpf_find_vmlinux_btf_id("cgroup", BPF_TRACE_ITER);
    if (id < 0)
      return codeOf(errorOf(id));
    settings.attach_btf_id = id;
  }
  std::vector<char> log(16384, '\0');
  settings.log_buf = log.data();
  settings.log_size = log.size();
  Assembler program = probe.build(maps);
  Fd fd(bpf_prog_load(probe.type, "shunt_probe", "GPL", program.instructions().data(),
                      program.instructions().size(), &settings));
  if (fd)
    return {};
  std::string code = codeOf(errno);
  std::string lines = verifierLines(log.data());
  return lines.empty() ? code : code + ": " + lines.substr(lines.rfind('\n') + 1);
}

template <typename T>
Napi::Object featureOf(Napi::Env env, const T &probe, const std::string &why) {
  Napi::Object feature = Napi::Object::New(env);
  feature.Set("name", probe.name);
  feature.Set("ok", why.empty());
  feature.Set("since", probe.since);
  feature.Set("needed", probe.needed);
  feature.Set("why", why);
  return feature;
}

Napi::Value probe(const Napi::CallbackInfo &info) {
  Napi::Array features = Napi::Array::New(info.Env());
  StorageTypes types = loadStorageTypes();
  ProbeMaps maps;
  for (const MapProbe &probe : mapProbes) {
    Fd map = createMap(probe, types);
    features.Set(features.Length(), featureOf(info.Env(), probe, map ? "" : codeOf(errno)));
    if (probe.type == BPF_MAP_TYPE_SK_STORAGE && !maps.storage)
      maps.storage = std::move(map);
    else if (probe.type == BPF_MAP_TYPE_RINGBUF)
      maps.ring = std::move(map);
    else if (probe.type == BPF_MAP_TYPE_SOCKHASH)
      maps.sockets = std::move(map);
  }
  for (const ProgramProbe &probe : programProbes)
    features.Set(features.Length(), featureOf(info.Env(), probe, loadProgram(probe, maps)));
  return features;
}

} // namespace

void exportProbe(Napi::Env, Napi::Object exports) {
  exportFunction<probe>(exports, "probe");
}

} // namespace shunt
