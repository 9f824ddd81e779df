import { test } from "uvu";
import * as assert from "uvu/assert";
import { desiredState } from "../src/desired.js";
import { type KnownPods, type NodeView, noNamespace } from "../src/desiredPod.js";
import type { Have, PodState } from "../src/maps/state.js";
import { addressFromBytes, formatAddress } from "../src/model/address.js";
import { defaultMesh } from "../src/model/mesh.js";
import type { Pod } from "../src/model/pod.js";
import type { PodPolicy } from "../src/policy/podPolicy.js";
import { podState, policy } from "./samples.js";

const pod = (name: string, addresses: readonly string[] = []): Pod => ({
  uid: `uid-${name}`,
  cgroupUid: `uid-${name}`,
  namespace: "default",
  name,
  labels: new Map(),
  annotations: new Map(),
  badAnnotations: new Set(),
  hostNetwork: false,
  containers: [],
  initContainers: [],
  addresses,
  containerIds: new Map(),
  where: `${name}.yaml:1`,
});
const cgroup = (id: bigint) => ({ id, path: `/pod${id}` });
const node = (...uids: string[]): NodeView => ({
  cgroups: new Map(uids.map((uid, i) => [uid, cgroup(BigInt(100 + i))])),
  namespaces: new Map(),
  containers: new Map(),
});
const nothing: Have = { pods: new Map(), policies: new Set() };
const enrolled = (id: bigint, bad = false): PodPolicy => ({
  enrolled: true,
  policy: policy(id),
  dualStack: false,
  excludeInterfaces: [],
  problems: [],
  bad,
});
const snapshot = (pods: readonly Pod[], complete = true) => ({
  pods,
  sidecars: [],
  mesh: defaultMesh,
  problems: [],
  complete,
});
const record = (cgroupId: bigint, policyId: bigint): PodState & { slot: number } => ({
  ...podState(cgroupId, policyId, { netnsCookie: 9n }),
  slot: 0,
});

test("an enrolled pod with a cgroup is wanted; the others are counted", () => {
  const compile = (one: Pod): PodPolicy =>
    one.name === "out" ? { enrolled: false, cause: "no-proxy", why: "no proxy", problems: [] } : enrolled(1n);
  const {
    want,
    pods,
    enrolled: made,
  } = desiredState(snapshot([pod("in"), pod("later"), pod("out")]), node("uid-in"), nothing, compile);
  assert.equal([...want.pods.keys()], [100n]);
  assert.equal([...(want.outside ?? [])], []);
  assert.equal([...want.policies.keys()], [1n]);
  assert.equal(
    pods.map(({ name, state, why, cause }) => [name, state, why, cause]),
    [
      ["in", "enrolled", "", ""],
      ["later", "waiting", "its cgroup is not there (yet)", ""],
      ["out", "not-enrolled", "no proxy", "no-proxy"],
    ],
  );
  assert.is(made.get(100n)?.name, "default/in");
});

test("addresses: Kubernetes says the pod's own, the namespace adds the others", () => {
  const found = {
    ...noNamespace,
    cookie: 7n,
    addresses: ["10.0.0.9", "10.0.0.5"].map((ip) => addressFromBytes(Uint8Array.from(ip.split("."), Number))),
  };
  const view: NodeView = { ...node("uid-a"), namespaces: new Map([[100n, found]]) };
  const one = desiredState(snapshot([pod("a", ["10.0.0.5", "2001:db8::1"])]), view, nothing, () =>
    enrolled(1n),
  ).want.pods.get(100n);
  assert.is(one?.netnsCookie, 7n);
  assert.is(one?.ipv4 && formatAddress(one.ipv4), "10.0.0.5");
  assert.is(one?.ipv6 && formatAddress(one.ipv6), "2001:db8::1");
  assert.equal(one?.localAddresses.map(formatAddress).sort(), ["10.0.0.5", "10.0.0.9", "2001:db8::1"]);
});

test("without status.podIPs the first address of the namespace that is not link-local is the pod's own", () => {
  const found = {
    ...noNamespace,
    cookie: 7n,
    addresses: [
      [169, 254, 1, 1],
      [10, 0, 0, 7],
    ].map((b) => addressFromBytes(Uint8Array.from(b))),
  };
  const view: NodeView = { ...node("uid-a"), namespaces: new Map([[100n, found]]) };
  const one = desiredState(snapshot([pod("a")]), view, nothing, () => enrolled(1n)).want.pods.get(100n);
  assert.is(one?.ipv4 && formatAddress(one.ipv4), "10.0.0.7");
  assert.is(one?.ipv6, undefined);
});

test("what a predecessor found of a namespace stays until it has been looked at; then what was seen counts", () => {
  const held = { ...record(100n, 1n), localAddresses: [addressFromBytes(Uint8Array.of(10, 1, 1, 1))] };
  const have: Have = { pods: new Map([[100n, held]]), policies: new Set([1n]) };
  const wanted = (namespaces: NodeView["namespaces"]) =>
    desiredState(snapshot([pod("a")]), { ...node("uid-a"), namespaces }, have, () => enrolled(1n)).want.pods.get(100n);
  const before = wanted(new Map());
  assert.equal([before?.netnsCookie, before?.localAddresses.map(formatAddress)], [9n, ["10.1.1.1"]]);
  const gone = wanted(new Map([[100n, null]]));
  assert.equal([gone?.netnsCookie, gone?.localAddresses], [0n, []]);
});

test("an address that is none is a problem of that pod, with the value", () => {
  const { problems, want } = desiredState(snapshot([pod("a", ["10.0.0.300"])]), node("uid-a"), nothing, () =>
    enrolled(1n),
  );
  assert.is(problems[0]?.value, "10.0.0.300");
  assert.is(problems[0]?.pod, "default/a");
  assert.ok(want.pods.has(100n));
});

test("a pod with a bad value keeps the policy that it has in the kernel; one without gets the stand-in", () => {
  const have: Have = { pods: new Map([[100n, record(100n, 5n)]]), policies: new Set([5n]) };
  const both = desiredState(snapshot([pod("old"), pod("new")]), node("uid-old", "uid-new"), have, () =>
    enrolled(1n, true),
  );
  assert.is(both.want.pods.get(100n)?.policy, 5n);
  assert.is(both.want.pods.get(101n)?.policy, 1n);
  assert.equal(
    both.pods.map((one) => one.keepsPolicy),
    [true, false],
  );
  const mended = desiredState(snapshot([pod("old")]), node("uid-old"), have, () => enrolled(1n));
  assert.is(mended.want.pods.get(100n)?.policy, 1n);
});

test("a policy that is kept is kept whole: IPv6, excluded interfaces and DNS servers with it", () => {
  const server = addressFromBytes(Uint8Array.of(10, 96, 0, 10));
  const held = { ...record(100n, 5n), captureIpv6: true, excludedInterfaces: [7], dnsServers: [server] };
  const have: Have = { pods: new Map([[100n, held]]), policies: new Set([5n]) };
  const found = { ...noNamespace, cookie: 9n, addresses: [addressFromBytes(Uint8Array.of(10, 0, 0, 5))] };
  const view: NodeView = { ...node("uid-a"), namespaces: new Map([[100n, found]]) };
  const wanted = (bad: boolean) =>
    desiredState(snapshot([pod("a", ["10.0.0.5"])]), view, have, () => enrolled(1n, bad)).want.pods.get(100n);
  const facts = (state: PodState | undefined) => [
    ...[state?.policy, state?.captureIpv6, state?.excludedInterfaces, state?.dnsServers],
  ];
  assert.equal(facts(wanted(true)), [5n, true, [7], [server]]);
  assert.equal(facts(wanted(false)), [1n, false, [], []]);
});

test("what stands in for a bad value is no policy of before: it follows what becomes known of the pod", () => {
  const have: Have = { pods: new Map([[100n, record(100n, 1n)]]), policies: new Set([1n]) };
  const found = { ...noNamespace, cookie: 9n, interfaces: new Map([["eth1", 3]]) };
  const view: NodeView = { ...node("uid-a"), namespaces: new Map([[100n, found]]) };
  const compile = (): PodPolicy => ({ ...enrolled(1n, true), excludeInterfaces: ["eth1"] }) as PodPolicy;
  const { want, pods } = desiredState(snapshot([pod("a")]), view, have, compile);
  assert.equal(want.pods.get(100n)?.excludedInterfaces, [3]);
  assert.is(pods[0]?.keepsPolicy, false);
});

test("an excluded interface that no route leads to: connections arrive at it all the same", () => {
  const route = { prefix: { address: addressFromBytes(new Uint8Array(4)), length: 0 }, interface: "eth0" };
  const found = { ...noNamespace, cookie: 9n, interfaces: new Map([["eth1", 3]]), routes: [route] };
  const view: NodeView = { ...node("uid-a"), namespaces: new Map([[100n, found]]) };
  const compile = (): PodPolicy => ({ ...enrolled(1n), excludeInterfaces: ["eth1"] }) as PodPolicy;
  const { want } = desiredState(snapshot([pod("a")]), view, nothing, compile);
  const state = want.pods.get(100n);
  assert.equal(state?.excludedInterfaces, [3]);
  // The programs ask for interfaces only where the policy has routes.
  assert.equal(want.policies.get(state?.policy ?? 0n)?.routes, [{ prefix: route.prefix, excluded: false }]);
});

test("a bad value does not hold on to a policy that could never be written", () => {
  const have: Have = { pods: new Map([[100n, record(100n, 5n)]]), policies: new Set() };
  assert.is(
    desiredState(snapshot([pod("a")]), node("uid-a"), have, () => enrolled(1n, true)).want.pods.get(100n)?.policy,
    1n,
  );
});

test("while the source is not complete, a pod that it does not name keeps everything, as long as its cgroup lives", () => {
  const have: Have = {
    pods: new Map([
      [100n, record(100n, 5n)],
      [999n, record(999n, 6n)],
    ]),
    policies: new Set([5n, 6n]),
  };
  const partly = desiredState(snapshot([], false), node("uid-a"), have, () => enrolled(1n));
  assert.equal([...partly.want.pods.keys()], [100n]);
  assert.is(partly.want.pods.get(100n)?.policy, 5n);
  assert.is(desiredState(snapshot([]), node("uid-a"), have, () => enrolled(1n)).want.pods.size, 0);
});

test("the proxy: its container's cgroup once status and node both know it; alone only where that is asked for", () => {
  const one: Pod = { ...pod("a"), containerIds: new Map([["istio-proxy", "c1"]]) };
  const look = (containers: NodeView["containers"], identity: "uid" | "cgroup", have = nothing) => {
    const view: NodeView = {
      ...node("uid-a"),
      containers,
      namespaces: new Map([[100n, { ...noNamespace, cookie: 1n, uidBase: 70000, gidBase: 80000 }]]),
    };
    const { want, enrolled: made } = desiredState(snapshot([one]), view, have, () => enrolled(1n), identity);
    const { proxyCgroupId, proxyCgroupOnly, uidBase, gidBase } = want.pods.get(100n) as PodState;
    return [proxyCgroupId, proxyCgroupOnly, uidBase, gidBase, made.get(100n)?.proxy];
  };
  const known = new Map([[100n, new Map([["cri-containerd-c1.scope", 5n]])]]);
  const gone = new Map([[100n, new Map([["cri-containerd-c2.scope", 6n]])]]);
  const ids = { uid: 71337, gid: 81337 };
  const container = "cri-containerd-c1.scope";
  assert.equal(look(known, "uid"), [5n, false, 70000, 80000, { inboundPort: 15006, container, ids }]);
  assert.equal(look(known, "cgroup"), [5n, true, 70000, 80000, { inboundPort: 15006, container, ids: undefined }]);
  // A proxy that restarts: its new container is not in the status yet.
  assert.equal(look(gone, "cgroup"), [0n, false, 70000, 80000, { inboundPort: 15006, container: undefined, ids }]);
  const held: Have = {
    pods: new Map([[100n, { ...record(100n, 1n), proxyCgroupId: 9n }]]),
    policies: new Set([1n]),
  };
  assert.is(look(new Map(), "uid", held)[0], 9n, "what a predecessor found");
});

test("a known pod that is not enrolled has an entry that says so; while something cannot be read, it stays", () => {
  const out: PodPolicy = { enrolled: false, cause: "no-proxy", why: "no proxy", problems: [] };
  const at = (pods: readonly Pod[], have: Have, complete: boolean, policyOf = (): PodPolicy => out) =>
    desiredState(snapshot(pods, complete), node("uid-a", "uid-b"), have, policyOf).want;
  const first = at([pod("a")], nothing, true);
  assert.equal([[...first.pods.keys()], [...(first.outside ?? [])]], [[], [100n]]);
  // 102 has no cgroup any more.
  const have: Have = { pods: new Map(), outside: new Set([100n, 101n, 102n]), policies: new Set() };
  assert.equal([...(at([pod("a")], have, false).outside ?? [])], [100n, 101n]);
  assert.equal([...(at([pod("a")], have, true).outside ?? [])], [100n]);
  const now = at([pod("a")], have, false, () => enrolled(1n));
  assert.equal([[...now.pods.keys()], [...(now.outside ?? [])]], [[100n], [101n]]);
  const before: Have = { pods: new Map([[100n, record(100n, 1n)]]), policies: new Set([1n]) };
  const left = at([pod("a")], before, false);
  assert.equal([[...left.pods.keys()], [...(left.outside ?? [])]], [[], [100n]], "it is told that it is none of ours");
  const mirror = { ...pod("c"), cgroupUid: "uid-a" };
  assert.equal([...(at([mirror], nothing, true).outside ?? [])], [100n], "a static pod has the cgroup of its hash");
});

test("a static pod has the cgroup that its file's hash names, unless another pod bears that uid itself", () => {
  const mirror = { ...pod("mirror"), cgroupUid: "hash" };
  const at = (pods: readonly Pod[]) => desiredState(snapshot(pods), node("hash"), nothing, () => enrolled(1n));
  assert.equal([...at([mirror]).want.pods.keys()], [100n]);

  // Whoever may create pods may annotate one so.
  const victim = { ...pod("victim"), uid: "hash", cgroupUid: "hash" };
  for (const pods of [
    [mirror, victim],
    [victim, mirror],
  ]) {
    const found = at(pods);
    assert.equal(
      [...found.enrolled].map(([id, { name }]) => [id, name]),
      [[100n, "default/victim"]],
    );
    assert.match(found.problems[0]?.why ?? "", "its cgroup is that of default/victim");
    assert.is(found.problems[0]?.pod, "default/mirror");
  }
});

test("what earlier calls found changes nothing but the time that it takes", () => {
  const [a, b, bad] = [pod("a", ["10.1.0.1"]), pod("b", ["no address"]), pod("bad")];
  const compiled = new Map([a, b, bad].map((one, i) => [one, enrolled(BigInt(i + 1), one === bad)]));
  const facts = (cookie: bigint, ip: number) => ({
    ...noNamespace,
    cookie,
    addresses: [addressFromBytes(Uint8Array.of(10, 1, 0, ip))],
  });
  const ids = ["uid-a", "uid-b", "uid-bad"];
  const place = (cookie: bigint): NodeView => ({
    ...node(...ids),
    namespaces: new Map([100n, 101n, 102n].map((id, i) => [id, facts(cookie + BigInt(i), i + 1)])),
    containers: new Map([100n, 101n, 102n].map((id) => [id, new Map([[`cri-containerd-${id}.scope`, id + 100n]])])),
  });
  const running = { ...a, containerIds: new Map([["istio-proxy", "100"]]) };
  const again = new Map([...compiled, [running, enrolled(1n)] as const]);
  const held: Have = { pods: new Map([[102n, record(102n, 77n)]]), policies: new Set([77n]) };
  const [first, moved] = [place(1n), place(9n)];
  const unseen = { ...moved, namespaces: new Map([[100n, null]]), containers: new Map() };
  const steps: readonly [readonly Pod[], NodeView, Have, ReadonlyMap<Pod, PodPolicy>, "uid" | "cgroup"][] = [
    [[a, b, bad], first, nothing, compiled, "uid"],
    [[a, b, bad], first, held, compiled, "uid"],
    [[a, b, bad], moved, held, compiled, "uid"],
    [[a, b, bad], moved, held, new Map([...compiled, [a, enrolled(8n)]]), "uid"],
    [[running, b, bad], moved, held, again, "uid"],
    [[running, b, bad], moved, held, again, "cgroup"],
    [[a, b], unseen, held, compiled, "uid"],
    [[a, b, bad], first, nothing, compiled, "uid"],
  ];
  const known: KnownPods = new WeakMap();
  for (const [pods, view, have, policies, identity] of steps) {
    const compile = (one: Pod): PodPolicy => policies.get(one) ?? enrolled(0n);
    const expected = desiredState(snapshot(pods), view, have, compile, identity);
    assert.equal(desiredState(snapshot(pods), view, have, compile, identity, known), expected);
  }
  const compile = (one: Pod): PodPolicy => compiled.get(one) ?? enrolled(0n);
  const [once, twice] = [0, 1].map(() => desiredState(snapshot([a]), first, held, compile, "uid", known));
  assert.is(once?.want.pods.get(100n), twice?.want.pods.get(100n));
});

test.run();
