import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Pod } from "../../src/model/pod.js";
import { readPod } from "../../src/model/podDocument.js";
import { describeProblem } from "../../src/model/problem.js";
import { podTemplate } from "../policy/kit.js";

const metadata = { uid: "u-1", name: "a" };

function read(document: unknown): { pod: Pod; said: string[] } {
  const { pod, problems } = readPod(document, "a.yaml:12");
  if (pod === undefined) throw new Error(problems.map(describeProblem).join("; "));
  return { pod, said: problems.map(describeProblem) };
}

test("the least that is a pod", () => {
  const { pod, said } = read({ kind: "Pod", metadata });
  assert.equal(said, []);
  assert.equal(pod, {
    uid: "u-1",
    namespace: "default",
    name: "a",
    labels: new Map(),
    annotations: new Map(),
    badAnnotations: new Set(),
    hostNetwork: false,
    containers: [],
    initContainers: [],
    addresses: [],
    containerIds: new Map(),
    cgroupUid: "u-1",
    where: "a.yaml:12",
  });
});

test("null is absent, and unknown fields are ignored", () => {
  const nothing = { labels: null, annotations: null, namespace: null, ownerReferences: [7] };
  const { pod, said } = read({
    metadata: { ...metadata, ...nothing },
    spec: { hostNetwork: null, containers: null, initContainers: null, securityContext: null, novelty: {} },
    status: null,
  });
  assert.equal(said, []);
  assert.is(pod.namespace, "default");
});

test("without uid or name there is no pod, and the problem says what is missing", () => {
  const said = (document: unknown): string[] => {
    const { pod, problems } = readPod(document, "a.yaml:12");
    assert.is(pod, undefined);
    return problems.map(describeProblem);
  };
  assert.equal(said({ metadata: { name: "a", namespace: "b" } }), [
    "a.yaml:12 b/a: metadata.uid: missing: the pod is left out",
  ]);
  assert.equal(said({ metadata: { uid: "u" } }), ["a.yaml:12: metadata.name: missing: the pod is left out"]);
  assert.equal(said({ metadata: { uid: "", name: "a" } }), [
    "a.yaml:12 default/a: metadata.uid: must not be empty: the pod is left out",
  ]);
  assert.equal(said({ metadata: { uid: 7, name: "a" } }), [
    'a.yaml:12 default/a: metadata.uid="7": expected string, received number: the pod is left out',
  ]);
  assert.equal(said({}), ["a.yaml:12: metadata: missing: the pod is left out"]);
  assert.equal(said(null), ["a.yaml:12: document: missing: the pod is left out"]);
  assert.equal(said("Pod"), ['a.yaml:12: document="Pod": expected object, received string: the pod is left out']);
});

test("a damaged field that decides over capture leaves the pod out", () => {
  const damaged = [
    { containers: {} },
    { containers: ["istio-proxy"] },
    { containers: [{ image: "nameless" }] },
    { initContainers: "none" },
    { hostNetwork: "true" },
    { containers: [{ name: "a", args: "proxy sidecar" }] },
    { containers: [{ name: "a", securityContext: { runAsUser: "1337" } }] },
    { containers: [{ name: "a", securityContext: { runAsUser: -1 } }] },
    { containers: [{ name: "a", securityContext: { runAsGroup: 1.5 } }] },
    { securityContext: { runAsUser: 2 ** 31 } },
  ];
  for (const spec of damaged) {
    const { pod, problems } = readPod({ metadata, spec }, "a.yaml:1");
    assert.is(pod, undefined, JSON.stringify(spec));
    assert.is(problems.length, 1);
    assert.match(problems[0]?.key ?? "", /^spec\./);
  }
});

test("a document of another shape does not fill the log", () => {
  const containers = Array.from({ length: 500 }, () => 7);
  assert.is(readPod({ metadata, spec: { containers } }, "").problems.length, 8);
});

test("an annotation that is not text is a problem of its own", () => {
  const annotations = { good: "1", port: 5000, on: true, empty: null, list: [1], map: { a: 1 } };
  const { pod, said } = read({ metadata: { ...metadata, annotations } });
  assert.equal([...pod.annotations], [["good", "1"]]);
  assert.equal([...pod.badAnnotations], ["port", "on", "empty", "list", "map"]);
  assert.equal(said, [
    'a.yaml:12 default/a: port="5000": not text: put it in quotes, "5000"; it is left out',
    'a.yaml:12 default/a: on="true": not text: put it in quotes, "true"; it is left out',
    'a.yaml:12 default/a: empty="null": not text: it has no value; write "" for an empty one; it is left out',
    'a.yaml:12 default/a: list="[1]": not text: put it in quotes; it is left out',
    'a.yaml:12 default/a: map="{\\"a\\":1}": not text: put it in quotes; it is left out',
  ]);
  for (const { kind } of readPod({ metadata: { ...metadata, annotations } }, "").problems)
    assert.is(kind, "annotation");
});

test("a label that is not text is reported and left out", () => {
  const { pod, said } = read({ metadata: { ...metadata, labels: { a: "b", "sidecar.istio.io/inject": false } } });
  assert.equal([...pod.labels], [["a", "b"]]);
  assert.match(said[0] ?? "", /label sidecar\.istio\.io\/inject="false": not text/);
});

test("arguments keep their place, also if they are not text", () => {
  const { pod, said } = read({
    metadata,
    spec: { initContainers: [{ name: "istio-init", args: ["-p", 15001, {}, "-z"] }] },
  });
  assert.equal(pod.initContainers[0]?.args, ["-p", "15001", "", "-z"]);
  assert.is(said.length, 2);
  assert.match(said[0] ?? "", /spec\.initContainers istio-init args="15001": not text: put it in quotes/);
});

test("of the environment literal values count", () => {
  const env = [
    { name: "A", value: "1" },
    { name: "B", valueFrom: { fieldRef: {} } },
    { name: "C" },
    { name: "D", value: true },
  ];
  const { pod, said } = read({ metadata, spec: { containers: [{ name: "c", env }] } });
  assert.equal(
    [...(pod.containers[0]?.env ?? [])],
    [
      ["A", "1"],
      ["D", "true"],
    ],
  );
  assert.is(said.length, 1);
});

test("a container's ids beat the pod's", () => {
  const { pod } = read({
    metadata,
    spec: {
      securityContext: { runAsUser: 5, runAsGroup: 6 },
      containers: [{ name: "a" }, { name: "b", securityContext: { runAsUser: 0 } }],
    },
  });
  assert.equal(
    pod.containers.map(({ runAsUser, runAsGroup }) => [runAsUser, runAsGroup]),
    [
      [5, 6],
      [0, 6],
    ],
  );
});

test("the status tells addresses and the containers that run", () => {
  const running = { running: { startedAt: "2026-01-01T00:00:00Z" } };
  const { pod, said } = read({
    metadata,
    status: {
      podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }, { ip: "" }, 7],
      containerStatuses: [
        { name: "app", containerID: "containerd://aa", state: running },
        { name: "done", containerID: "containerd://bb", state: { terminated: { exitCode: 0 } } },
        { name: "waiting", state: { waiting: {} } },
      ],
      initContainerStatuses: [{ name: "istio-proxy", containerID: "cri-o://cc", state: running }],
    },
  });
  assert.equal(said, []);
  assert.equal(pod.addresses, ["10.0.0.1", "fd00::1"]);
  assert.equal(Object.fromEntries(pod.containerIds), { "istio-proxy": "cc", app: "aa" });
});

test("a status that cannot be read is as if it were not there yet", () => {
  for (const status of [
    "Running",
    [],
    { podIPs: {} },
    { containerStatuses: "x" },
    { podIPs: [null], containerStatuses: [null] },
  ]) {
    const { pod, said } = read({ metadata, status });
    assert.equal([said, pod.addresses, pod.containerIds.size], [[], [], 0]);
  }
});

test("a pod as Istio's injector leaves it", () => {
  const { pod, said } = read(podTemplate("native-sidecar.yaml.injected"));
  assert.equal(said, []);
  assert.equal(
    pod.initContainers.map(({ name, sidecar, runAsUser }) => [name, sidecar, runAsUser]),
    [
      ["istio-init", false, 0],
      ["istio-proxy", true, 1337],
      ["other-sidecar", true, undefined],
    ],
  );
  assert.equal(pod.initContainers[0]?.args.slice(0, 5), ["istio-iptables", "-p", "15001", "-z", "15006"]);
  assert.is(pod.initContainers[1]?.env.get("ISTIO_META_INTERCEPTION_MODE"), "REDIRECT");
});

test("nothing makes it throw", () => {
  const anything = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withNullPrototype: true,
    withSparseArray: true,
  });
  const podLike = fc.record(
    {
      metadata: fc.oneof(
        anything,
        fc.record({
          uid: fc.oneof(fc.string(), anything),
          name: fc.oneof(fc.string(), anything),
          annotations: anything,
          labels: anything,
        }),
      ),
      spec: fc.oneof(
        anything,
        fc.record({
          containers: fc.oneof(anything, fc.array(fc.record({ name: fc.string(), args: anything, env: anything }))),
        }),
      ),
      status: fc.oneof(anything, fc.record({ podIPs: anything, containerStatuses: fc.array(anything) })),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(anything, podLike), (document) => {
      const { pod, problems } = readPod(document, "x");
      assert.ok(pod !== undefined || problems.length > 0);
      for (const problem of problems) describeProblem(problem);
    }),
    { numRuns: 2000 },
  );
});

test("a circle and a key named __proto__ do no harm", () => {
  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  const { pod } = read({ metadata: { ...metadata, annotations: { circle, big: 1n } } });
  assert.equal([...pod.badAnnotations], ["circle", "big"]);
  const { pod: other } = read({
    metadata: JSON.parse('{"uid":"u","name":"n","annotations":{"__proto__":"x","a":"b"}}'),
  });
  assert.is(other.annotations.get("a"), "b");
});

test.run();
