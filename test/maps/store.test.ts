import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { diff, type Op } from "../../src/maps/diff.js";
import { u32, u64 } from "../../src/maps/layout.js";
import { encodePolicy } from "../../src/maps/records.js";
import { policyKeys } from "../../src/maps/rules.js";
import { addressKey, type Have, type PodState, type Want } from "../../src/maps/state.js";
import { type Maps, Store } from "../../src/maps/store.js";
import type { Policy } from "../../src/model/policy.js";
import { address, podState } from "../samples.js";
import { policyArbitrary, wantsArbitrary } from "./arbitrary.js";
import { builtContract } from "./contract.js";
import { fakeMaps } from "./fake.js";

const contract = builtContract();
const open = (maps: Maps): Store => new Store({ maps, contract, gracePeriod: async () => {} });

function plainPod(pod: PodState): unknown {
  const { cgroupId, policy, netnsCookie, proxyCgroupId } = pod;
  const addresses = [pod.ipv4, pod.ipv6].map((address) => (address === undefined ? "" : addressKey(address)));
  return { cgroupId, policy, netnsCookie, proxyCgroupId, addresses, local: pod.localAddresses.map(addressKey).sort() };
}

function plainPods(state: Have | Want): unknown[] {
  const pods = [...state.pods.values()].sort((a, b) => Number(a.cgroupId - b.cgroupId)).map(plainPod);
  return [...pods, ...[...(state.outside ?? [])].sort()];
}

/** Every element of the maps as text, to compare two sets of maps whole. */
function content(maps: Maps): string[] {
  return Object.values(maps)
    .flatMap((map) => {
      if (map.info.name === "pod_records") return [];
      const { count, keys, values } = map.entries();
      return Array.from({ length: count }, (_, i) => {
        const key = Buffer.from(keys.subarray(i * map.info.keySize, (i + 1) * map.info.keySize)).toString("hex");
        const value =
          map.info.name === "pods" && u32.decode(values.subarray(i * 4, i * 4 + 4)) !== contract.outsideSlot
            ? ""
            : Buffer.from(values.subarray(i * map.info.valueSize, (i + 1) * map.info.valueSize)).toString("hex");
        return `${map.info.name} ${key} ${value}`;
      });
    })
    .sort();
}

test("apply(diff(a, b), a) is b, in the maps as in memory, and costs nothing when done again", async () => {
  await fc.assert(
    fc.asyncProperty(wantsArbitrary(4), async (wants) => {
      const maps = fakeMaps(contract);
      const store = open(maps);
      for (const want of wants) {
        const { failures } = await store.apply(diff(store.have, want));
        assert.equal(failures, []);
        assert.equal(plainPods(store.have), plainPods(want));
        assert.equal([...store.have.policies.keys()].sort(), [...want.policies.keys()].sort());
        assert.equal(diff(store.have, want), []);
        const fresh = fakeMaps(contract);
        await open(fresh).apply(diff({ pods: new Map(), policies: new Set() }, want));
        assert.equal(content(maps), content(fresh));
      }
    }),
    { numRuns: 200 },
  );
});

test("a store that is opened on the same maps has the same state: a restart is the same as an event", async () => {
  await fc.assert(
    fc.asyncProperty(wantsArbitrary(2), async ([first, second]) => {
      if (first === undefined || second === undefined) return;
      const maps = fakeMaps(contract);
      const store = open(maps);
      await store.apply(diff(store.have, first));
      const successor = open(maps);
      assert.equal(plainPods(successor.have), plainPods(first));
      assert.equal(diff(successor.have, first), []);
      await successor.apply(diff(successor.have, second));
      assert.equal(plainPods(successor.have), plainPods(second));
    }),
    { numRuns: 200 },
  );
});

test("killed after any operation, the next start finds whole policies only and converges", async () => {
  await fc.assert(
    fc.asyncProperty(wantsArbitrary(2), fc.nat(60), async ([first, second], cut) => {
      if (first === undefined || second === undefined) return;
      const maps = fakeMaps(contract);
      const store = open(maps);
      await store.apply(diff(store.have, first));
      const ops = diff(store.have, second);
      await store.apply(ops.slice(0, cut % (ops.length + 1)));
      const successor = open(maps);
      for (const pod of successor.have.pods.values()) assert.ok(successor.have.policies.has(pod.policy));
      await successor.apply(diff(successor.have, second));
      const fresh = fakeMaps(contract);
      await open(fresh).apply(diff({ pods: new Map(), policies: new Set() }, second));
      assert.equal(content(maps), content(fresh));
    }),
    { numRuns: 300 },
  );
});

test("operations come in the order in which programs may run meanwhile", () => {
  fc.assert(
    fc.property(wantsArbitrary(2), ([first, second]) => {
      if (first === undefined || second === undefined) return;
      let slot = 0;
      const pods = new Map([...first.pods].map(([id, pod]) => [id, { ...pod, slot: slot++ }]));
      const have: Have = { pods, policies: new Set(first.policies.keys()) };
      const ops = diff(have, second);
      const at = (wanted: (op: Op) => boolean): number => ops.findIndex(wanted);
      const fence = at((op) => op.kind === "fence");
      ops.forEach((op, i) => {
        if (op.kind.startsWith("remove-")) assert.ok(fence >= 0 && fence < i, `${op.kind} before the fence`);
        const named = op.kind === "flip" ? op.policy : op.kind === "add-pod" ? op.pod.policy : undefined;
        if (named === undefined) return;
        const written = have.policies.has(named)
          ? -1
          : at((other) => other.kind === "add-policy" && other.policy.id === named);
        assert.ok(have.policies.has(named) || (written >= 0 && written < i), "named before it is written");
      });
    }),
    { numRuns: 300 },
  );
});

const small = fc.sample(policyArbitrary(1n), 1)[0] as Policy;
const onePod = (policy: bigint): PodState => podState(7n, policy);
const withPorts = (id: bigint, count: number) => ({
  ...small,
  id,
  ranges: [],
  ports: Array.from({ length: count }, (_, port) => ({
    direction: "outbound" as const,
    port,
    action: "bypass" as const,
    reason: "excluded-port" as const,
  })),
});

test("a full map: the policy is taken back whole, the pod keeps the one that it has, the failure has a name", async () => {
  const maps = fakeMaps(contract, { port_rules: 10 });
  const store = open(maps);
  const fits = withPorts(1n, 4);
  await store.apply(diff(store.have, { pods: new Map([[7n, onePod(1n)]]), policies: new Map([[1n, fits]]) }));
  const { failures } = await store.apply(
    diff(store.have, { pods: new Map([[7n, onePod(2n)]]), policies: new Map([[2n, withPorts(2n, 11)]]) }),
  );
  assert.match(failures[0]?.error.message ?? "", /port_rules: E2BIG/);
  assert.is(store.have.pods.get(7n)?.policy, 1n);
  assert.equal([...store.have.policies.keys()], [1n]);
  assert.is(maps.port_rules.entries().count, 4);
  assert.ok(maps.policies.lookup(u64.encode(1n)));
});

test("a new pod whose policy does not fit names it all the same, so that it is refused and not let out", async () => {
  const maps = fakeMaps(contract, { port_rules: 10 });
  const store = open(maps);
  const want: Want = { pods: new Map([[7n, onePod(2n)]]), policies: new Map([[2n, withPorts(2n, 11)]]) };
  const { failures, flipped } = await store.apply(diff(store.have, want));
  assert.is(failures.length, 1);
  assert.equal(flipped, [], "nobody is told that its policy is there");
  assert.is(store.have.pods.get(7n)?.policy, 2n);
  assert.is(maps.policies.entries().count, 0);
  assert.equal(
    diff(store.have, want).map((op) => op.kind),
    ["add-policy"],
    "and it is tried again",
  );
});

test("of a pod that finds no room nothing is left, so that pods that come and go do not fill the other maps", async () => {
  const maps = fakeMaps(contract, { pod_records: 1 });
  const store = open(maps);
  const policies = new Map([[1n, withPorts(1n, 1)]]);
  const own = { localAddresses: [address("10.0.0.1")], excludedInterfaces: [3] };
  const pods = (...ids: bigint[]) => new Map(ids.map((id) => [id, podState(id, 1n, own)]));
  await store.apply(diff(store.have, { pods: pods(7n), policies }));
  const { failures } = await store.apply(diff(store.have, { pods: pods(7n, 8n), policies }));
  assert.match(failures[0]?.error.message ?? "", /pod_records is full/);
  assert.equal(
    [maps.local_addrs, maps.excluded_interfaces].map((map) => map.entries().count),
    [1, 1],
  );
  const entries = new Map(store.fill().map((each) => [each.name, each.entries]));
  assert.equal([entries.get("pods"), entries.get("local_addrs")], [1, 1]);
});

test("a policy that is in the kernel may be named without its content: a pod with a bad value keeps it", async () => {
  const maps = fakeMaps(contract);
  const store = open(maps);
  await store.apply(
    diff(store.have, { pods: new Map([[7n, onePod(1n)]]), policies: new Map([[1n, withPorts(1n, 3)]]) }),
  );
  assert.equal(diff(store.have, { pods: new Map([[7n, onePod(1n)]]), policies: new Map() }), []);
});

test("counts go with the pod", async () => {
  const maps = fakeMaps(contract);
  const store = open(maps);
  await store.apply(
    diff(store.have, { pods: new Map([[7n, onePod(1n)]]), policies: new Map([[1n, withPorts(1n, 1)]]) }),
  );
  for (const pod of [7n, 8n]) {
    maps.verdicts.update(contract.verdictKey.encode({ pod, direction: 0, verdict: 1, reason: 10 }), u64.encode(5n));
  }
  await store.apply(diff(store.have, { pods: new Map(), policies: new Map() }));
  const { count, keys } = maps.verdicts.entries();
  assert.is(count, 1);
  assert.is(contract.verdictKey.decode(keys).pod, 8n);
});

test("the policy's struct says what the policy says", () => {
  const policy = {
    ...withPorts(5n, 1),
    proxyUid: 1337,
    captureOtherOutbound: true,
    keepLocal: false,
    captureOtherInbound: false,
    sidecarNone: false,
    owners: { mode: "excluded", gids: [7] },
    dns: "all",
    routes: [],
  } as const;
  const decoded = contract.policy.decode(encodePolicy(contract, policy));
  assert.is(decoded.id, 5n);
  assert.is(decoded.proxy_uid, 1337);
  const flags = contract.policyFlags;
  const set = ["capture-other-outbound", "has-outbound-ports", "groups-excluded", "dns", "dns-all-servers"] as const;
  assert.is(
    decoded.flags,
    set.reduce((bits, name) => bits | flags[name], 0),
  );
  assert.is(policyKeys(contract, policy).ports.length, contract.portKey.size);
});

test.run();
