/**
 * The same documents make the same policies, in whatever files and order they stand. Of two documents of one name the
 * first counts and the other is a problem, so here each name is there once.
 */
import fc from "fast-check";
import { dump } from "js-yaml";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Pod, podName } from "../../src/model/pod.js";
import { describeProblem } from "../../src/model/problem.js";
import { unreadSidecars } from "../../src/model/unread.js";
import { openPodCompiler } from "../../src/policy/podCompiler.js";
import { type FileContent, readDocuments } from "../../src/source/documents.js";
import { mergeFiles } from "../../src/source/mergeFiles.js";

const namespaces = ["shop", "bank", "istio-system", "mesh-root", "kube-system"] as const;
const namespace = fc.constantFrom(...namespaces);
const traffic = (name: string): string => `traffic.sidecar.istio.io/${name}`;
const ports = fc.constantFrom("80", "443, 8080", "", "80,", "*");
const ranges = fc.constantFrom("*", "", "10.0.0.0/8", "10.0.0.0/8,10.1.0.0/16", "10.0.0.0");
const labels = fc.record({ app: fc.constantFrom("web", "db"), tier: fc.constantFrom("a", "b") }, { requiredKeys: [] });

interface PodSpec {
  readonly name: string;
  readonly namespace: string;
  readonly labels: object;
  readonly traffic: Readonly<Record<string, string>>;
  readonly dns: string | undefined;
}
const pods = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom("p", "q", "r", "s"),
    namespace,
    labels,
    traffic: fc.record(
      { includeOutboundIPRanges: ranges, excludeOutboundPorts: ports, includeInboundPorts: ports },
      { requiredKeys: [] },
    ),
    dns: fc.constantFrom(undefined, "true", "maybe"),
  }),
  { maxLength: 6, selector: ({ name, namespace: own }) => `${own}/${name}` },
);
const podDocument = ({ name, namespace: own, labels: all, traffic: lists, dns }: PodSpec): object => ({
  kind: "Pod",
  metadata: {
    name,
    namespace: own,
    uid: `${own}-${name}`,
    labels: all,
    annotations: {
      "sidecar.istio.io/status": "{}",
      ...Object.fromEntries(Object.entries(lists).map(([list, text]) => [traffic(list), text])),
      ...(dns === undefined ? {} : { "proxy.istio.io/config": `proxyMetadata: {ISTIO_META_DNS_CAPTURE: "${dns}"}` }),
    },
  },
  spec: { containers: [{ name: "app" }, { name: "istio-proxy" }] },
});

const mode = fc.oneof(
  { weight: 15, arbitrary: fc.constantFrom("NONE", "NONE", "IPTABLES", "DEFAULT") },
  { weight: 1, arbitrary: fc.constant("none") },
);
const listener = fc.record({ port: fc.constantFrom(80, 443, 3306), captureMode: mode });
interface ListenerSpec {
  readonly port: number;
  readonly captureMode: string;
}
interface SidecarSpec {
  readonly name: string;
  readonly namespace: string;
  readonly created: string | undefined;
  readonly selector: object | undefined;
  readonly egress: readonly ListenerSpec[];
  readonly rest: string | undefined;
  readonly ingress: readonly ListenerSpec[];
  readonly policy: object | undefined;
}
const sidecars = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom("a", "b", "c"),
    namespace,
    created: fc.constantFrom(undefined, "2024-05-01T12:00:00Z", "2025-05-01T12:00:00Z"),
    selector: fc.option(labels, { nil: undefined }),
    egress: fc.uniqueArray(listener, { maxLength: 2, selector: ({ port }) => port }),
    rest: fc.option(mode, { nil: undefined }),
    ingress: fc.uniqueArray(listener, { maxLength: 2, selector: ({ port }) => port }),
    policy: fc.constantFrom(undefined, undefined, {}, { mode: "ALLOW_ANY" }),
  }),
  { maxLength: 6, selector: ({ name, namespace: own }) => `${own}/${name}` },
);
const sidecarDocument = (one: SidecarSpec): object => {
  const to = ({ port, captureMode }: ListenerSpec) => ({
    port: { number: port },
    captureMode,
  });
  const rest = one.rest === undefined ? [] : [{ captureMode: one.rest, hosts: ["*/*"] }];
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "Sidecar",
    metadata: { name: one.name, namespace: one.namespace, creationTimestamp: one.created },
    spec: {
      workloadSelector: one.selector && { labels: one.selector },
      ingress: one.ingress.map(to),
      egress: [...one.egress.map((each) => ({ ...to(each), hosts: ["*/*"] })), ...rest],
      outboundTrafficPolicy: one.policy,
    },
  };
};

const meshes = fc.uniqueArray(
  fc.record({
    namespace,
    text: fc.constantFrom(
      "{}",
      "rootNamespace: mesh-root",
      "outboundTrafficPolicy: {}",
      "outboundTrafficPolicy: {mode: NO}",
      "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}}",
    ),
  }),
  { maxLength: 2, selector: ({ namespace: own }) => own },
);
const others = [...namespaces.map((name) => ({ kind: "Namespace", metadata: { name } })), { kind: "Service" }, "text"];

const directory = fc.tuple(pods, sidecars, meshes, fc.subarray(others)).map(([some, around, configs, rest]) => [
  ...some.map(podDocument),
  ...around.map(sidecarDocument),
  ...configs.map(({ namespace: own, text }) => ({
    kind: "ConfigMap",
    metadata: { name: "istio", namespace: own },
    data: { mesh: text },
  })),
  ...rest,
]);

/** Files, each with some of the documents in some order. */
const arranged = (documents: readonly unknown[]) =>
  fc
    .tuple(
      fc.shuffledSubarray([...documents.keys()], { minLength: documents.length, maxLength: documents.length }),
      fc.array(fc.constantFrom("a.yaml", "b.yaml", "c.yaml"), {
        minLength: documents.length,
        maxLength: documents.length,
      }),
    )
    .map(([order, names]) => {
      const files = new Map<string, unknown[]>();
      for (const [i, at] of order.entries()) {
        const name = names[i] ?? "";
        files.set(name, [...(files.get(name) ?? []), documents[at]]);
      }
      return files;
    });

/** What each pod gets and every problem, without the places at which they stand. */
function outcome(files: ReadonlyMap<string, readonly unknown[]>): unknown {
  const contents = new Map<string, FileContent>(
    [...files].map(([name, documents]) => [
      name,
      readDocuments(documents.map((each) => dump(each, { skipInvalid: true })).join("---\n"), name),
    ]),
  );
  const { pods: found, sidecars: around, mesh, problems } = mergeFiles(contents, [], true);
  const refused = [...contents.values()].flatMap((content) => [...content.refused]);
  const unread = {
    sidecars: unreadSidecars(refused),
    mesh: [...contents.values()].some((each) => each.meshes.some(({ bad }) => bad)),
  };
  const compile = openPodCompiler({ excludeNamespaces: ["kube-system"] })({ sidecars: around, mesh, unread });
  const said = found.map((pod: Pod) => {
    const compiled = compile(pod);
    const own = compiled.problems.map((problem) => describeProblem({ ...problem, where: "" })).sort();
    const what = compiled.enrolled ? [compiled.policy.id, compiled.bad] : [compiled.why];
    return [podName(pod), ...what, ...own];
  });
  // That another mesh's counts is said with its place.
  const placeless = problems.filter(({ key }) => key !== "ConfigMap");
  return [said, placeless.map((problem) => describeProblem({ ...problem, where: "" })).sort()];
}

test("whole directories: pods, Sidecars, namespaces and the mesh's configuration", () => {
  const pair = directory.chain((documents) => fc.tuple(arranged(documents), arranged(documents)));
  fc.assert(
    fc.property(pair, ([one, other]) => assert.equal(outcome(other), outcome(one))),
    { numRuns: 150 },
  );
});

test("what is compared holds the pods' policies, those that stand in, and the problems", () => {
  const pod = { name: "p", namespace: "shop", labels: {}, traffic: {}, dns: undefined };
  const none = { port: 80, captureMode: "NONE" };
  const sidecar = {
    ...{ name: "a", namespace: "shop", created: undefined, selector: undefined, rest: undefined, ingress: [] },
  };
  const said = (...documents: readonly object[]): string =>
    JSON.stringify(outcome(new Map([["a.yaml", documents]])), (_, value) =>
      typeof value === "bigint" ? `${value}` : value,
    );
  const web = podDocument(pod);
  const alone = said(web);
  const opened = said(web, sidecarDocument({ ...sidecar, egress: [none], policy: { mode: "ALLOW_ANY" } }));
  assert.match(alone, /^\[\[\["shop\/p","\d+",false\]\],\[\]\]$/);
  assert.match(opened, /^\[\[\["shop\/p","\d+",false\]\],\[\]\]$/);
  assert.is.not(opened, alone);
  assert.match(said(web, sidecarDocument({ ...sidecar, egress: [none], policy: {} })), /not honoured/);
  assert.match(said(web, sidecarDocument({ ...sidecar, egress: [], policy: undefined })), /,true\].*left out/);
  assert.match(said(podDocument({ ...pod, namespace: "kube-system" })), /kube-system is excluded/);
});

test.run();
