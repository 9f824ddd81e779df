/**
 * What Istio admits and what it refuses. The cases follow ValidateSidecar of pkg/config/validation (Istio 1.26), rule
 * by rule, and the schema of the CRD for the types.
 */
import fc from "fast-check";
import { load } from "js-yaml";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isSidecarDocument, readSidecar } from "../../src/model/sidecarDocument.js";
import { refusedSidecars } from "./sidecarRefused.js";

const head = { apiVersion: "networking.istio.io/v1", kind: "Sidecar", metadata: { name: "s", namespace: "ns" } };

const read = (spec: unknown, changes: object = {}) => readSidecar({ ...head, ...changes, spec }, "s.yaml:1");
const ok = (text: string) => {
  const { sidecar, problems } = read(load(text));
  assert.equal(problems, [], text);
  if (sidecar === undefined) throw new Error("left out without a problem");
  return sidecar;
};

// biome-ignore format: one a line
const accepted: readonly string[] = [
  "{ingress: [{port: {number: 9080}}]}",
  "{ingress: [{port: {number: 9080, protocol: HTTP, name: somename}, defaultEndpoint: 'unix:///var/run/someuds.sock'}]}",
  "{ingress: [{port: {number: 9081, protocol: http}, defaultEndpoint: '127.0.0.1:9080'}]}",
  "{ingress: [{port: {number: 9081}, defaultEndpoint: ':9080'}]}",
  "{ingress: [{port: {number: 9081}, defaultEndpoint: '0.0.0.0:9080'}]}",
  "{ingress: [{port: {number: 9081}, defaultEndpoint: '[::1]:9080'}]}",
  "{ingress: [{port: {number: 9081}, defaultEndpoint: '[::]:9080'}]}",
  "{ingress: [{port: {number: 9081}, defaultEndpoint: '127.0.0.1:+9080'}]}",
  "{ingress: [{port: {number: 9081}, defaultEndpoint: 'unix://@abstract'}]}",
  "{ingress: [{port: {number: 9081}, defaultEndpoint: ''}]}",
  "{ingress: [{port: {number: 1}}, {port: {number: 65535}}]}",
  "{ingress: [{port: {number: 80}, bind: 0.0.0.0}]}",
  "{ingress: [{port: {number: 80}, bind: 10.0.0.7}]}",
  "{ingress: [{port: {number: 80}, bind: '::'}]}",
  "{ingress: [{port: {number: 80}, bind: 'fe80::1%eth0'}]}",
  "{ingress: [{port: {number: 80}, bind: ''}]}",
  "{ingress: [{port: {number: 80}, captureMode: NONE}]}",
  "{ingress: [{port: {number: 80}, captureMode: IPTABLES}]}",
  "{ingress: [{port: {number: 80}, captureMode: DEFAULT}]}",
  "{ingress: [{port: {number: 80, protocol: ''}}]}",
  "{ingress: [{port: {number: 80, protocol: gRPC-Web}}]}",
  "{ingress: [{port: {number: 80, protocol: HTTP_PROXY}}]}",
  "{ingress: [{port: {number: 80, protocol: UDP}}]}",
  "{ingress: [{port: {number: 80, name: HTTP-1}}]}",
  "{ingress: [{port: {number: 443, protocol: HTTPS}, tls: {mode: SIMPLE, serverCertificate: c, privateKey: k}}]}",
  "{ingress: [{port: {number: 443, protocol: TLS}, tls: {mode: MUTUAL, serverCertificate: c, privateKey: k, caCertificates: a}}]}",
  "{ingress: [{port: {number: 443, protocol: TLS}, tls: {}}]}",
  "{ingress: [{port: {number: 80}, connectionPool: {http: {http2MaxRequests: 10}}}]}",
  "{ingress: [{port: {number: 80}, connectionPool: {tcp: {connectTimeout: 30ms, idleTimeout: 0s, tcpKeepalive: {time: 1h}}}}]}",
  "{inboundConnectionPool: {tcp: {maxConnections: 1}}}",
  "{egress: [{hosts: ['./*']}]}",
  "{egress: [{hosts: ['ns/*']}]}",
  "{egress: [{hosts: ['*/*']}]}",
  "{egress: [{hosts: ['~/*']}]}",
  "{egress: [{hosts: ['*/*.example.com']}]}",
  "{egress: [{hosts: ['ns/foo.bar.com']}]}",
  "{egress: [{hosts: ['ns/foo.bar.com.']}]}",
  "{egress: [{hosts: ['*/*', 'ns/foo.com']}]}",
  "{egress: [{hosts: ['ns/foo.com', 'ns/foo.com']}]}",
  "{egress: [{hosts: ['Bookinfo/foo.com']}]}",
  "{egress: [{port: {number: 3306}, hosts: ['*/*']}]}",
  "{egress: [{port: {number: 3306}, bind: 127.0.0.1, captureMode: NONE, hosts: ['*/*']}, {hosts: ['./*']}]}",
  "{egress: [{port: {number: 8080}, hosts: ['*/*']}, {port: {number: 9090}, hosts: ['*/*']}]}",
  "{egress: [{port: {number: 0}, bind: 'unix:///tmp/a', hosts: ['*/*']}]}",
  "{egress: [{port: {protocol: HTTP}, bind: 'unix:///tmp/a', hosts: ['*/*']}]}",
  "{egress: [{port: {number: 0}, bind: 'unix:///tmp/a', captureMode: NONE, hosts: ['*/*']}, {port: {number: 0}, bind: 'unix:///tmp/b', hosts: ['*/*']}]}",
  "{egress: [{port: {number: 0}, bind: 'unix://@x', captureMode: DEFAULT, hosts: ['*/*']}]}",
  "{egress: [{captureMode: NONE, hosts: ['*/*']}]}",
  "{egress: [{bind: 10.1.2.3, captureMode: IPTABLES, hosts: ['*/*']}]}",
  "{outboundTrafficPolicy: {}}",
  "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}",
  "{outboundTrafficPolicy: {mode: ALLOW_ANY}}",
  "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: egress.ns.svc.cluster.local, port: {number: 80}}}}",
  "{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: localhost, subset: v1, port: {number: 443}}}}",
  "{workloadSelector: {}, egress: [{hosts: ['./*']}]}",
  "{workloadSelector: {labels: {}}, egress: [{hosts: ['./*']}]}",
  "{workloadSelector: {labels: {app: a, version: ''}}, egress: [{hosts: ['./*']}]}",
  "{workloadSelector: null, ingress: null, egress: [{hosts: ['./*']}]}",
  "{ingress: [{port: {number: 9080}}], egress: [{hosts: ['./*']}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}",
  "{egress: [{hosts: ['./*'], somethingNew: 1}], futureField: {a: b}}",
  "{egress: [{hosts: ['*/*.']}]}",
  "{egress: [{hosts: ['ns/xn--bcher-kva.example']}]}",
];

test(`${accepted.length} that Istio accepts`, () => {
  assert.ok(accepted.length >= 60);
  for (const text of accepted) ok(text);
});

test(`${refusedSidecars.length} that Istio refuses, each with the path and the reason`, () => {
  assert.ok(refusedSidecars.length >= 60);
  for (const [text, path, why] of refusedSidecars) {
    const { sidecar, problems } = read(load(text));
    assert.is(sidecar, undefined, text);
    const found = problems.find(({ key }) => key === `Sidecar ns/s ${path}`);
    assert.ok(found, `${text}: no problem of ${path}, but ${problems.map(({ key, why }) => `${key}: ${why}`)}`);
    assert.match(found.why, why, text);
    assert.match(found.why, /; the Sidecar is left out$/);
    assert.equal([found.kind, found.where, found.pod], ["sidecar", "s.yaml:1", ""]);
  }
});

test("what comes out", () => {
  const { sidecar } = readSidecar(
    {
      ...head,
      metadata: { name: "s", creationTimestamp: "2024-05-01T12:00:00Z" },
      spec: load(
        "{workloadSelector: {labels: {app: a}}, ingress: [{port: {number: 9081}, bind: 1.2.3.4, captureMode: NONE, defaultEndpoint: ':80'}], egress: [{port: {number: 0}, bind: 'unix:///a', hosts: ['~/*']}, {hosts: ['./*'], captureMode: NONE}], outboundTrafficPolicy: {}}",
      ),
    },
    "s.yaml:7",
  );
  assert.equal(sidecar, {
    namespace: "default",
    name: "s",
    created: Date.UTC(2024, 4, 1, 12),
    selector: new Map([["app", "a"]]),
    ingress: [{ port: 9081, bind: "1.2.3.4", captureMode: "NONE", defaultEndpoint: ":80" }],
    egress: [
      { port: 0, bind: "unix:///a", captureMode: "DEFAULT", hosts: ["~/*"] },
      { port: undefined, bind: "", captureMode: "NONE", hosts: ["./*"] },
    ],
    outboundTrafficPolicy: { mode: "REGISTRY_ONLY", egressProxy: undefined },
    where: "s.yaml:7",
  });
  assert.is(ok("{outboundTrafficPolicy: {}}").selector, undefined);
  assert.equal(ok("{workloadSelector: {}, outboundTrafficPolicy: {}}").selector, new Map());
  assert.is(ok("{egress: [{hosts: ['./*']}]}").outboundTrafficPolicy, undefined);
});

test("the three versions are one resource, others are not", () => {
  const spec = { outboundTrafficPolicy: {} };
  for (const version of ["v1", "v1beta1", "v1alpha3"]) {
    const document = { ...head, apiVersion: `networking.istio.io/${version}`, spec };
    assert.ok(isSidecarDocument(document));
    assert.ok(readSidecar(document, "").sidecar);
  }
  const future = { ...head, apiVersion: "networking.istio.io/v9", spec };
  assert.ok(isSidecarDocument(future));
  assert.match(readSidecar(future, "").problems[0]?.why ?? "", /must be one of networking\.istio\.io\/v1/);
  assert.not.ok(isSidecarDocument({ ...head, apiVersion: "example.com/v1" }));
  assert.not.ok(isSidecarDocument({ ...head, kind: "Pod" }));
  assert.not.ok(isSidecarDocument(null));
});

test("metadata: a name is needed, a namespace is text, a time is a time", () => {
  const keys = (metadata: unknown) => read({ outboundTrafficPolicy: {} }, { metadata }).problems.map(({ key }) => key);
  assert.equal(keys(undefined), ["Sidecar metadata.name"]);
  assert.equal(keys({ name: 5 }), ["Sidecar metadata.name"]);
  assert.equal(keys({ name: "s", namespace: [] }), ["Sidecar default/s metadata.namespace"]);
  assert.equal(keys({ name: "s", creationTimestamp: "yesterday" }), ["Sidecar default/s metadata.creationTimestamp"]);
  assert.equal(keys({ name: "s", creationTimestamp: "2024-13-41T99:00:00Z" }).length, 1);
  assert.is(read({}, { metadata: { name: "s" } }).name, "default/s", "the name of a refused one is known");
  assert.is(read({}, { metadata: {} }).name, undefined);
});

test("a Sidecar with thousands of mistakes lists a few", () => {
  const { problems, sidecar } = read({ egress: [{ hosts: Array.from({ length: 5000 }, () => "no") }] });
  assert.is(sidecar, undefined);
  assert.is(problems.length, 8);
  const long = read({ workloadSelector: { labels: { ["x".repeat(1e6)]: 1 } }, outboundTrafficPolicy: {} }).problems[0];
  assert.ok((long?.key.length ?? 0) < 400);
});

const scalars = fc.oneof(
  fc.constantFrom("", "*", "./*", "NONE", "unix:///a", "127.0.0.1:80", "HTTP", "10.0.0.1", null, {}, []),
  fc.integer({ min: -1, max: 70000 }),
  fc.anything(),
);
const listener = fc.record(
  Object.fromEntries(
    ["bind", "captureMode", "hosts", "defaultEndpoint", "tls", "connectionPool", "port"].map((key) => [
      key,
      key === "port" ? fc.oneof(fc.record({ number: scalars, protocol: scalars }), scalars) : scalars,
    ]),
  ),
  { requiredKeys: [] },
);
const listeners = fc.oneof(fc.array(fc.oneof(listener, scalars)), scalars);
const spec = fc.record(
  { workloadSelector: scalars, ingress: listeners, egress: listeners, outboundTrafficPolicy: scalars },
  { requiredKeys: [] },
);
const documents = fc.oneof(
  fc.anything(),
  fc.record({ kind: fc.constant("Sidecar"), metadata: fc.anything(), spec: fc.anything() }),
  spec.map((value) => ({ ...head, spec: value })),
);

test("any document whatsoever: no crash, and a Sidecar or a problem with key and reason", () => {
  fc.assert(
    fc.property(documents, (document) => {
      const { sidecar, problems } = readSidecar(document, "x");
      assert.is(sidecar === undefined, problems.length > 0);
      for (const { key, why, value } of problems) assert.ok(key !== "" && why !== "" && value.length < 200);
    }),
    { numRuns: 3000 },
  );
});

test.run();
