/** `shunt explain --live`: what the maps hold, what the manifests say and what the kernel does are one. */
import { dirname, join } from "node:path";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { explain } from "../../src/cli/explain.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { UsageError } from "../../src/errors.js";
import type { Flow } from "../../src/events/flows.js";
import { pinDirectory } from "../../src/kernel/datapath.js";
import { type NativeMap, native } from "../../src/kernel/native.js";
import { diff } from "../../src/maps/diff.js";
import { u64 } from "../../src/maps/layout.js";
import { openPinnedMaps, readPods, readPolicy, readPolicyIds } from "../../src/maps/readPolicy.js";
import { Store } from "../../src/maps/store.js";
import { compilePolicy } from "../../src/policy/compile.js";
import { until } from "../kernel/bed.js";
import { type Client, startClient } from "../kernel/client.js";
import { builtContract } from "../maps/contract.js";
import { fakeMaps } from "../maps/fake.js";
import { anySettings } from "../policy/arbitrary.js";
import { address, podState } from "../samples.js";
import { type AgentHere, openAgentHere, traffic } from "./agentHere.js";

let here: AgentHere;
let pod: LabPod;
let app: Client;
let proxy: Client;
test.before(async () => {
  here = await openAgentHere("explain");
  pod = await here.lab.pod({ namespace: "test", name: "a", uid: "aa-1", address: "10.88.0.2" });
  await here.edit(pod);
  await here.start();
  [app, proxy] = await Promise.all([startClient(pod), startClient(pod, { uid: 1337, gid: 1337 })]);
  await until("its namespace is known", () => here.agent?.status().pods[0]?.netnsCookie !== "");
});
test.after(() => here.close());

interface Said {
  readonly verdict: string;
  readonly to: string | null;
  readonly reason: string;
  readonly rule: string;
  readonly source: string;
  readonly kernel?: string;
  readonly policy: string;
  readonly pod: string;
  readonly problems: readonly string[];
  readonly notes: readonly string[];
}

async function run(...args: readonly string[]): Promise<Said> {
  const printed: string[] = [];
  assert.is(await explain([...args, "--json"], (text) => printed.push(text)), 0);
  assert.is(printed.length, 1);
  return JSON.parse(printed[0] ?? "") as Said;
}
const live = (...args: readonly string[]): Promise<Said> => run("--live", "--control", here.control, ...args);
const offline = (...args: readonly string[]): Promise<Said> => run("--manifests", here.manifests, ...args);

async function refusal(...args: readonly string[]): Promise<Error> {
  try {
    await live(...args);
  } catch (error) {
    return error as Error;
  }
  throw new Error("not refused");
}

/** Waits until the maps have the policy of the manifest. */
async function settled(): Promise<void> {
  const { policy } = await offline("--pod", "test/a", "--inbound", "80");
  await until("the policy is in the kernel", () => here.agent?.status().pods[0]?.policy === policy);
}

const t = traffic;
// biome-ignore format: a table
const edits: readonly (readonly [annotations: Record<string, string>, as: "app" | "proxy", to: readonly string[]])[] = [
  [{}, "app", ["10.99.0.1:443", "10.99.0.1:15020", "127.0.0.1:80", "10.88.0.2:80", "0.0.0.0:80"]],
  [{}, "proxy", ["10.99.0.1:443", "10.88.0.2:80", "10.88.0.2:15008", "127.0.0.1:80"]],
  [{ [t("excludeOutboundPorts")]: "5000, 443" }, "app", ["10.99.0.1:443", "10.99.0.1:15020", "10.99.0.1:5001"]],
  [{ [t("includeOutboundIPRanges")]: "10.99.0.0/16", [t("excludeOutboundIPRanges")]: "10.99.1.0/24", [t("includeOutboundPorts")]: "5000" }, "app",
    ["10.99.0.1:443", "10.99.1.1:443", "10.98.0.1:443", "10.98.0.1:5000", "10.99.1.1:5000"]],
  [{ [t("includeOutboundIPRanges")]: "127.0.0.0/8", [t("excludeInboundPorts")]: "9090" }, "app", ["127.0.0.2:80", "127.0.0.1:80", "10.99.0.1:443"]],
];

test("live, offline and the kernel agree", async () => {
  for (const [annotations, as, destinations] of edits) {
    await here.edit(pod, annotations);
    await settled();
    for (const to of destinations) {
      const args = ["--pod", "test/a", "--to", to, "--as", as] as const;
      const [a, b] = [await live(...args), await offline(...args)];
      assert.equal([a.verdict, a.to, a.reason, a.policy], [b.verdict, b.to, b.reason, b.policy], to);
      assert.equal([a.rule, a.source], [b.rule, b.source], to);
      assert.equal([a.notes, b.notes], [[], []]);

      const [host = "", port = ""] = to.split(":");
      const flows: Flow[] = [];
      const end = here.agent?.flows.subscribe((flow) => flows.push(flow), true);
      const ask = { count: 1, parallel: 1, hosts: [host], ports: [Number(port)], leave: true };
      await (as === "app" ? app : proxy).ask(ask);
      await until("a flow", () => flows.length > 0);
      end?.();
      const [flow] = flows;
      assert.equal([flow?.verdict, flow?.reason], [a.verdict, a.reason], `the kernel: ${to}`);
      assert.is(flow?.targetPort, a.to === null ? 0 : Number(a.to.split(":")[1]));
    }
  }
});

test("inbound and IPv6: the model's verdict, and nothing to add", async () => {
  await here.edit(pod, { [t("excludeInboundPorts")]: "9090" });
  await settled();
  for (const question of [
    ["--inbound", "9090"],
    ["--inbound", "8080"],
    ["--to", "[2001:db8::1]:443"],
  ] as const) {
    const [a, b] = [await live("--pod", "test/a", ...question), await offline("--pod", "test/a", ...question)];
    assert.equal([a.verdict, a.to, a.reason], [b.verdict, b.to, b.reason]);
  }
});

test("the rule in the words of who wrote it, and as the kernel has it", async () => {
  await here.edit(pod, { [t("excludeOutboundPorts")]: "443" });
  await settled();
  const { rule, source, policy, kernel } = await live("--pod", "aa-1", "--to", "10.99.0.1:443");
  assert.equal([rule, source], ["443", t("excludeOutboundPorts")]);
  assert.is(kernel, `outbound port 443: bypass excluded-port (port_rules ${policy})`);
});

test("where the kernel has another policy than the document asks for, the kernel's rule is told, and that", async () => {
  const slot = withMap("pods", (map) => map.lookup(u64.encode(pod.cgroupId))) ?? new Uint8Array();
  const record = withMap("pod_records", (map) => map.lookup(slot)) ?? new Uint8Array();
  // struct pod_record: the policy's id stands after the cgroup's; struct policy begins with it.
  const id = record.slice(8, 16);
  const otherId = u64.encode(u64.decode(id) ^ 1n);
  const policy = withMap("policies", (map) => map.lookup(id)) ?? new Uint8Array();
  withMap("policies", (map) => map.update(otherId, Uint8Array.of(...otherId, ...policy.slice(8))));
  withMap("pod_records", (map) =>
    map.update(slot, Uint8Array.of(...record.slice(0, 8), ...otherId, ...record.slice(16))),
  );
  try {
    const said = await live("--pod", "test/a", "--to", "10.99.0.1:443");
    assert.equal([said.reason, said.rule, said.kernel], ["included-all", "capture-other-outbound is set", undefined]);
    assert.match(said.notes.join(), /the kernel has another policy for it than its document asks for/);
  } finally {
    withMap("pod_records", (map) => map.update(slot, record));
    withMap("policies", (map) => map.delete(otherId));
  }
});

test("a bad value: the kernel keeps the policy, and live tells so", async () => {
  const args = ["--pod", "test/a", "--to", "10.99.0.1:443"] as const;
  await here.edit(pod, { [t("excludeOutboundPorts")]: "443," });
  await until("the agent has seen it", () => here.agent?.status().problems.length === 1);
  const said = await live(...args);
  assert.equal([said.verdict, said.reason], ["bypass", "excluded-port"]);
  assert.match(said.problems.join(), /excludeOutboundPorts="443,"/);
  assert.match(said.notes.join(), /keeps the policy that it had/);
  const document = await offline(...args);
  assert.equal([document.verdict, document.reason], ["redirect", "included-all"]);
  await here.edit(pod);
  await settled();
});

test("a pod that is not captured, not there yet, or not known", async () => {
  const later = { namespace: "test", name: "later", uid: "aa-2", address: "10.88.0.9" } as LabPod;
  const state = (wanted: string): Promise<void> =>
    until(
      wanted,
      () => here.agent?.status().pods.some(({ uid, state: is }) => uid === "aa-2" && is === wanted) === true,
    );
  await here.edit(later);
  await state("waiting");
  const said = await live("--pod", "test/later", "--to", "10.99.0.1:443");
  assert.equal([said.verdict, said.reason], ["bypass", "unknown-pod"]);
  assert.match(said.rule, /its cgroup is not there/);
  await here.edit(later, { "sidecar.istio.io/interceptionMode": "NONE" });
  await state("not-enrolled");
  const none = await live("--pod", "test/later", "--to", "10.99.0.1:443");
  assert.equal([none.verdict, none.reason, none.source], ["bypass", "mode-none", "sidecar.istio.io/interceptionMode"]);
  const error = await refusal("--pod", "test/b", "--to", "10.99.0.1:443");
  assert.instance(error, UsageError);
  assert.match(error.message, /no pod test\/b that the agent knows; near names: test\/a, test\/later/);
});

function withMap<T>(name: string, use: (map: NativeMap) => T): T {
  const { contract } = here.agent ?? { contract: builtContract() };
  const map = native().openPinnedMap(join(pinDirectory(here.bpffs), `maps-${contract.hash}`, name));
  try {
    return use(map);
  } finally {
    map.close();
  }
}

test("a pod that the agent has not heard of: as the kernel treats it, with and without deny", async () => {
  const stranger = await here.lab.pod({ namespace: "test", name: "stranger", uid: "aa-8", address: "10.88.0.8" });
  const calls = await startClient(stranger);
  const said = async (...args: readonly string[]): Promise<unknown[]> => {
    const { verdict, reason, source } = await live("--pod", "aa-8", ...args);
    return [verdict, reason, source];
  };
  const kernel = async (): Promise<string> => {
    const flows: Flow[] = [];
    const end = here.agent?.flows.subscribe((flow) => flows.push(flow), true);
    await calls.ask({ count: 1, parallel: 1, hosts: ["10.99.0.1"], ports: [443], leave: true });
    await until("a flow", () => flows.length > 0);
    end?.();
    return `${flows[0]?.verdict} ${flows[0]?.reason}`;
  };
  const to = ["--to", "10.99.0.1:443"] as const;
  assert.equal(await said(...to), ["bypass", "unknown-pod", "default"]);
  assert.is(await kernel(), "bypass unknown-pod");

  await here.stop();
  await here.start({ unknownPods: "deny" });
  assert.equal(await said(...to), ["deny", "unknown-pod", "--unknown-pods"]);
  assert.is(await kernel(), "deny unknown-pod");
  assert.equal(await said(...to, "--udp"), ["deny", "unknown-pod", "--unknown-pods"]);
  assert.equal(await said("--inbound", "80"), ["bypass", "unknown-pod", "default"]);
  const { notes } = await live("--pod", "aa-8", ...to);
  assert.match(notes.join(), /the agent knows no such pod/);
  const error = await refusal("--pod", "test/stranger", ...to);
  assert.instance(error, UsageError);
  assert.match(error.message, /no pod test\/stranger that the agent knows.*not heard of are denied.*give --pod UID/);

  // It outlives the agent, and whoever is known still passes.
  await here.edit(stranger, { "sidecar.istio.io/inject": "false" });
  await until("it is known", () => here.agent?.status().pods.some(({ uid }) => uid === "aa-8") === true);
  await until(
    "its entry is there",
    () => withMap("pods", (map) => map.lookup(u64.encode(stranger.cgroupId))) !== undefined,
  );
  const byUid = ["--bpffs", here.bpffs, ...to] as const;
  await here.stop();
  assert.equal(await said(...byUid), ["bypass", "unknown-pod", "default"]);
  withMap("pods", (map) => map.delete(u64.encode(stranger.cgroupId)));
  assert.equal(await said(...byUid), ["deny", "unknown-pod", "--unknown-pods"]);
  await here.start();
});

test("what the programs refuse is deny", async () => {
  await here.stop();
  const args = ["--pod", "aa-1", "--bpffs", here.bpffs, "--to", "10.99.0.1:443"] as const;
  const [id] = withMap("policies", (map) => {
    const keys = map.entries().keys;
    return [u64.decode(keys.subarray(0, 8))];
  });
  const key = u64.encode(id ?? 0n);
  const policy = withMap("policies", (map) => map.lookup(key)) ?? new Uint8Array();
  withMap("policies", (map) => map.delete(key));
  const refused = async (): Promise<string> => {
    await app.ask({ count: 1, parallel: 1, hosts: ["10.99.0.1"], ports: [443] });
    const { verdict, reason, rule } = await live(...args);
    return `${verdict} ${reason} ${rule}`;
  };
  assert.is(await refused(), "deny unknown-pod the policy that its record names is not there");
  withMap("policies", (map) => map.update(key, policy));

  const entry = u64.encode(pod.cgroupId);
  const slot = withMap("pods", (map) => map.lookup(entry)) ?? new Uint8Array();
  withMap("pods", (map) => map.update(entry, Uint8Array.of(5, 0, 0, 0)));
  assert.is(await refused(), "deny unknown-pod its record is another pod's");
  const [answer] = await app.ask({ count: 1, parallel: 1, hosts: ["10.99.0.1"], ports: [443] });
  assert.is(answer?.said, "EPERM", "and so says the kernel");
  withMap("pods", (map) => map.delete(entry));
  assert.match((await live(...args)).rule, /^the agent has not heard of it: no entry in the kernel's map pods/);
  withMap("pods", (map) => map.update(entry, slot));
  assert.is((await live(...args)).verdict, "redirect");
});

test("without an agent: by uid, or by name with the manifests", async () => {
  const question = ["--bpffs", here.bpffs, "--to", "10.99.0.1:443"] as const;
  const byUid = await live("--pod", "aa-1", ...question);
  assert.equal([byUid.pod, byUid.verdict, byUid.reason], ["aa-1", "redirect", "included-all"]);
  assert.match(byUid.notes.join(), /no agent answers \(nothing is at .*\): this is what it has left in the kernel/);
  const byName = await live("--pod", "test/a", "--manifests", here.manifests, ...question);
  assert.equal([byName.pod, byName.verdict, byName.policy], ["test/a", "redirect", byUid.policy]);
  const gone = await live("--pod", "test/later", "--manifests", here.manifests, ...question);
  assert.match(gone.rule, /it has no cgroup below/);
  for (const [name, why] of [
    ["test/a", /the kernel knows no names: give --pod UID, or --manifests DIR too/],
    ["aa-7", /no pod aa-7 below .*kubepods\.slice; near names: aa-1/],
  ] as const) {
    const error = await refusal("--pod", name, ...question);
    assert.instance(error, UsageError);
    assert.match(error.message, why);
  }
  await here.unload();
  const error = await refusal("--pod", "aa-1", ...question);
  assert.not.instance(error, UsageError);
  assert.match(error.message, /no agent answers .*, and nothing of shunt is pinned under/);
});

test("no maps pinned: undefined, and nothing stays open", () => {
  assert.is(openPinnedMaps(native(), dirname(here.control)), undefined);
});

test("what the store writes is what is read back", async () => {
  const contract = builtContract();
  const own = address("10.88.0.2");
  await fc.assert(
    fc.asyncProperty(fc.array(anySettings, { minLength: 1, maxLength: 4 }), async (all) => {
      const maps = fakeMaps(contract);
      const store = new Store({ maps, contract, gracePeriod: () => Promise.resolve() });
      const policies = new Map(all.map((settings) => compilePolicy(settings)).map((policy) => [policy.id, policy]));
      const pods = new Map(
        [...policies.keys()].map((policy, i) => {
          const localAddresses = i === 0 ? [] : [own];
          return [BigInt(i + 1), podState(BigInt(i + 1), policy, { netnsCookie: 7n, localAddresses })];
        }),
      );
      await store.apply(diff(store.have, { pods, policies }));
      for (const policy of policies.values()) assert.equal(readPolicy(maps, contract, policy.id), policy);
      assert.equal(new Set(readPolicyIds(maps)), new Set(policies.keys()));
      assert.equal(readPods(maps, contract), pods);
      assert.is(readPolicy(maps, contract, 1n), undefined);
    }),
    { numRuns: 200 },
  );
});

test.run();
