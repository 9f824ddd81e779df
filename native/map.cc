// SPDX-License-Identifier: Apache-2.0
#include "map.h"

#include "bpf.h"
#include "map_batch.h"
#include "pin.h"

#include <sys/mman.h>

namespace shunt {
namespace {

bool isPerCpu(uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
         type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

uint32_t roundUp(size_t value, size_t to) {
  return (value + to - 1) / to * to;
}

MapShape shapeOf(const bpf_map_info &info) {
  MapShape shape{.name = info.name,
                 .type = info.type,
                 .id = info.id,
                 .keySize = info.key_size,
                 .valueSize = info.value_size,
                 .stride = info.value_size,
                 .maxEntries = info.max_entries,
                 .flags = info.map_flags};
  if (isPerCpu(info.type))
    shape.stride = roundUp(info.value_size, 8) * libbpf_num_possible_cpus();
  return shape;
}

Napi::Object infoOf(Napi::Env env, const MapShape &shape) {
  Napi::Object info = Napi::Object::New(env);
  info.Set("name", shape.name);
  info.Set("type", shape.type);
  info.Set("id", shape.id);
  info.Set("keySize", shape.keySize);
  info.Set("valueSize", shape.valueSize);
  info.Set("valueStride", shape.stride);
  info.Set("maxEntries", shape.maxEntries);
  info.Set("flags", shape.flags);
  info.Freeze();
  return info;
}

} // namespace

Napi::Function MapHandle::define(Napi::Env env) {
  return DefineClass(env, kName,
                     {
                         InstanceMethod<&MapHandle::lookup>("lookup"),
                         InstanceMethod<&MapHandle::update>("update"),
                         InstanceMethod<&MapHandle::remove>("delete"),
                         InstanceMethod<&MapHandle::updateMany>("updateMany"),
                         InstanceMethod<&MapHandle::deleteMany>("deleteMany"),
                         InstanceMethod<&MapHandle::entries>("entries"),
                         InstanceMethod<&MapHandle::store>("store"),
                         InstanceMethod<&MapHandle::pin>("pin"),
                         InstanceMethod<&MapHandle::close>("close"),
                     });
}

MapHandle::MapHandle(const Napi::CallbackInfo &info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Object MapHandle::open(Napi::Env env, Fd fd) {
  auto info = zeroed<bpf_map_info>();
  check(env, readInfo(fd.get(), info), "bpf(BPF_OBJ_GET_INFO_BY_FD)", "map");
  MapHandle &handle = construct<MapHandle>(Addon::of(env).map);
  handle.fd_ = std::move(fd);
  handle.shape_ = shapeOf(info);
  Napi::Object object = handle.Value();
  object.DefineProperty(
      Napi::PropertyDescriptor::Value("info", infoOf(env, handle.shape_), napi_enumerable));
  return object;
}

int MapHandle::fd(Napi::Env env, const char *method) const {
  if (!fd_)
    failClosed(env, method, shape_.name);
  return fd_.get();
}

void MapHandle::release() {
  if (mapping_)
    munmap(std::exchange(mapping_, nullptr), mappingSize_);
  fd_.reset();
}

Napi::Value MapHandle::lookup(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "lookup");
  int map = fd(info.Env(), "lookup");
  Bytes key = arguments.bytes(0, "key", shape_.keySize);
  Napi::Uint8Array value = Napi::Uint8Array::New(info.Env(), shape_.stride);
  int result = bpf_map_lookup_elem(map, key.data(), value.Data());
  if (result < 0 && errorOf(result) == ENOENT)
    return info.Env().Undefined();
  check(info.Env(), result, "bpf(BPF_MAP_LOOKUP_ELEM)", shape_.name);
  return value;
}

void MapHandle::update(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "update");
  int map = fd(info.Env(), "update");
  Bytes key = arguments.bytes(0, "key", shape_.keySize);
  Bytes value = arguments.bytes(1, "value", shape_.stride);
  uint32_t flags = arguments.number(2, "flags", UINT32_MAX, BPF_ANY);
  check(info.Env(), bpf_map_update_elem(map, key.data(), value.data(), flags),
        "bpf(BPF_MAP_UPDATE_ELEM)", shape_.name);
}

Napi::Value MapHandle::remove(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "delete");
  int map = fd(info.Env(), "delete");
  Bytes key = arguments.bytes(0, "key", shape_.keySize);
  int result = bpf_map_delete_elem(map, key.data());
  bool there = result == 0 || errorOf(result) != ENOENT;
  if (there)
    check(info.Env(), result, "bpf(BPF_MAP_DELETE_ELEM)", shape_.name);
  return Napi::Boolean::New(info.Env(), there);
}

// Throws unless `keys` is whole keys.
size_t MapHandle::countKeys(const Arguments &arguments, Bytes keys) const {
  if (shape_.keySize == 0 || keys.size() % shape_.keySize != 0 ||
      keys.size() / shape_.keySize > UINT32_MAX)
    arguments.bad("keys", "must be keys of " + std::to_string(shape_.keySize) + " bytes, has " +
                              std::to_string(keys.size()));
  return keys.size() / shape_.keySize;
}

void MapHandle::updateMany(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "updateMany");
  int map = fd(info.Env(), "updateMany");
  Bytes keys = arguments.bytes(0, "keys");
  Bytes values = arguments.bytes(1, "values", countKeys(arguments, keys) * shape_.stride);
  size_t done = 0;
  int error = updateElements(map, shape_, keys, values, done);
  if (error == 0)
    return;
  Napi::Error thrown = makeError(
      info.Env(),
      Failure{.syscall = "bpf(BPF_MAP_UPDATE_BATCH)", .subject = shape_.name, .error = error});
  thrown.Set("done", Napi::Number::New(info.Env(), done));
  throw thrown;
}

Napi::Value MapHandle::deleteMany(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "deleteMany");
  int map = fd(info.Env(), "deleteMany");
  Bytes keys = arguments.bytes(0, "keys");
  countKeys(arguments, keys);
  size_t there = 0;
  int error = deleteElements(map, shape_, keys, there);
  if (error != 0)
    fail(info.Env(), error, "bpf(BPF_MAP_DELETE_BATCH)", shape_.name);
  return Napi::Number::New(info.Env(), there);
}

Napi::Value MapHandle::entries(const Napi::CallbackInfo &info) {
  int map = fd(info.Env(), "entries");
  Elements elements;
  int error = readElements(map, shape_, elements);
  if (error != 0)
    fail(info.Env(), error, "bpf(BPF_MAP_LOOKUP_BATCH)", shape_.name);
  Napi::Object found = Napi::Object::New(info.Env());
  found.Set("count", Napi::Number::New(info.Env(), elements.count));
  found.Set("keys", toArray(info.Env(), elements.keys));
  found.Set("values", toArray(info.Env(), elements.values));
  return found;
}

void MapHandle::store(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "store");
  int map = fd(info.Env(), "store");
  if (shape_.type != BPF_MAP_TYPE_ARRAY || !(shape_.flags & BPF_F_MMAPABLE))
    arguments.bad("map", shape_.name + " is not an ARRAY with BPF_F_MMAPABLE");
  uint32_t index = arguments.number(0, "index", shape_.maxEntries - 1);
  uint32_t offset = arguments.number(1, "offset");
  if (offset % 8 != 0 || size_t{offset} + 8 > shape_.valueSize)
    arguments.bad("offset", "must be a multiple of 8 inside the value of " +
                                std::to_string(shape_.valueSize) + " bytes");
  uint64_t value = arguments.word(2, "value");
  // The kernel rounds elements up to 8 bytes, whatever the map's info says.
  size_t element = roundUp(shape_.valueSize, 8);
  if (!mapping_) {
    size_t page = sysconf(_SC_PAGESIZE);
    size_t size = (element * shape_.maxEntries + page - 1) / page * page;
    void *mapping = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    if (mapping == MAP_FAILED)
      fail(info.Env(), errno, "mmap", shape_.name);
    mapping_ = mapping;
    mappingSize_ = size;
  }
  auto *word =
      reinterpret_cast<uint64_t *>(static_cast<uint8_t *>(mapping_) + index * element + offset);
  // Release: whoever sees the new value sees what was written before it.
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

void MapHandle::pin(const Napi::CallbackInfo &info) {
  Arguments arguments(info, "pin");
  int map = fd(info.Env(), "pin");
  pinAt(info.Env(), map, arguments.text(0, "path"));
}

namespace {

Napi::Value openPinnedMap(const Napi::CallbackInfo &info) {
  std::string path = Arguments(info, "openPinnedMap").text(0, "path");
  return MapHandle::open(info.Env(), openPin(info.Env(), path, "map"));
}

} // namespace

void exportMap(Napi::Env env, Napi::Object exports) {
  Addon::of(env).map = Napi::Persistent(MapHandle::define(env));
  exportFunction<openPinnedMap>(exports, "openPinnedMap");
}

} // namespace shunt
