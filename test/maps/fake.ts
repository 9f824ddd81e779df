/** Maps made of plain objects, with the sizes and the errors of the kernel's. */
import type { MapInfo, NativeMap } from "../../src/kernel/native.js";
import type { Contract } from "../../src/maps/contract.js";
import type { Maps, StateMap } from "../../src/maps/store.js";

function full(name: string): Error {
  return Object.assign(new Error(`bpf(BPF_MAP_UPDATE_ELEM) ${name}: E2BIG: Argument list too long`), { code: "E2BIG" });
}

/** @param array elements are all there from the start, as in BPF_MAP_TYPE_ARRAY. */
export function fakeMap(
  name: string,
  keySize: number,
  valueSize: number,
  maxEntries: number,
  array = false,
): NativeMap {
  const elements = new Map<string, Uint8Array>();
  const text = (key: Uint8Array): string => Buffer.from(key).toString("hex");
  const info: MapInfo = { name, type: 0, id: 1, keySize, valueSize, valueStride: valueSize, maxEntries, flags: 0 };
  const slice = (bytes: Uint8Array, size: number): Uint8Array[] =>
    Array.from({ length: bytes.length / size }, (_, i) => bytes.slice(i * size, (i + 1) * size));
  const join = (parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));
  const map: NativeMap = {
    info,
    lookup: (key) => elements.get(text(key))?.slice() ?? (array ? new Uint8Array(valueSize) : undefined),
    update(key, value) {
      if (key.length !== keySize || value.length !== valueSize)
        throw new RangeError(`${name}: ${key.length}/${value.length}`);
      if (!elements.has(text(key)) && elements.size >= maxEntries) throw full(name);
      elements.set(text(key), value.slice());
    },
    delete: (key) => elements.delete(text(key)),
    updateMany(keys, values) {
      const all = slice(values, valueSize);
      slice(keys, keySize).forEach((key, i) => {
        map.update(key, all[i] ?? new Uint8Array());
      });
    },
    deleteMany: (keys) => slice(keys, keySize).filter((key) => elements.delete(text(key))).length,
    entries: () => ({
      count: elements.size,
      keys: join([...elements.keys()].map((key) => Uint8Array.from(Buffer.from(key, "hex")))),
      values: join([...elements.values()]),
    }),
    store(index, offset, value) {
      const key = new Uint8Array(4);
      new DataView(key.buffer).setUint32(0, index, true);
      const bytes = map.lookup(key) ?? new Uint8Array(valueSize);
      new DataView(bytes.buffer).setBigUint64(offset, value, true);
      elements.set(text(key), bytes);
    },
    pin() {},
    close() {},
  };
  return map;
}

/** @param sizes entries, where a test wants a small map. */
export function fakeMaps(contract: Contract, sizes: Partial<Record<StateMap, number>> = {}): Maps {
  const of = (name: StateMap, key: number, value: number, array = false): NativeMap =>
    fakeMap(name, key, value, sizes[name] ?? 1024, array);
  return {
    pods: of("pods", 8, 4),
    pod_records: of("pod_records", 4, contract.podRecord.size, true),
    policies: of("policies", 8, contract.policy.size),
    port_rules: of("port_rules", contract.portKey.size, contract.rule.size),
    range_rules: of("range_rules", contract.rangeKey.size, contract.rule.size),
    local_addrs: of("local_addrs", contract.localKey.size, 1),
    owner_groups: of("owner_groups", contract.groupKey.size, 1),
    excluded_interfaces: of("excluded_interfaces", contract.interfaceKey.size, 1),
    verdicts: of("verdicts", contract.verdictKey.size, 8),
  };
}
