import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "js-yaml";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { podManifest, writeManifest } from "../../src/demo/manifests.js";
import { readPod } from "../../src/model/podDocument.js";
import { enrol } from "../../src/policy/enrolment.js";
import { findProxy } from "../../src/policy/proxy.js";

const options = {
  namespace: "demo",
  name: "client",
  uid: "5d0a7c1e-0000-4000-8000-000000000001",
  address: "10.77.0.2",
};
const read = (text: string) => readPod(load(text), "client.yaml");

test("parses back to an enrolled pod without problems", () => {
  const containers = [
    { name: "app", id: "a".repeat(64) },
    { name: "istio-proxy", id: "b".repeat(64) },
  ];
  const annotations = { "traffic.sidecar.istio.io/excludeOutboundPorts": "5001", "a/b": "007", empty: "" };
  const text = podManifest({
    ...options,
    address6: "fd00::2",
    annotations,
    labels: { version: "v1", yes: "yes" },
    containers,
  });
  const { pod, problems } = read(text);
  assert.equal(problems, []);
  assert.ok(pod);
  assert.is(`${pod.namespace}/${pod.name} ${pod.uid}`, `demo/client ${options.uid}`);
  for (const [key, value] of Object.entries(annotations)) assert.is(pod.annotations.get(key), value);
  assert.is(pod.labels.get("yes"), "yes");
  assert.is(pod.labels.get("app"), "app");
  assert.equal(pod.addresses, ["10.77.0.2", "fd00::2"]);
  assert.equal(
    [...pod.containerIds].sort(),
    containers.map(({ name, id }) => [name, id]),
  );
  assert.equal(enrol(pod, { excludeNamespaces: [] }), { enrolled: true });
  const proxy = findProxy(pod);
  assert.is(proxy?.runAsUser, 1337);
  assert.is(proxy?.runAsGroup, 1337);
  assert.ok(proxy?.sidecar);
  assert.not.match(text, /[&*]a\d/, "no YAML aliases");
});

test("a container without an id has no status; an annotation can be taken away", () => {
  const { pod } = read(
    podManifest({ ...options, annotations: { "sidecar.istio.io/status": undefined }, app: "hello" }),
  );
  assert.ok(pod);
  assert.is(pod.containerIds.size, 0);
  assert.is(pod.containers[0]?.name, "hello");
  assert.is(enrol(pod, { excludeNamespaces: [] }).enrolled, false);
});

test("a manifest is replaced at once, and nothing else stays in the directory", async () => {
  const directory = await mkdtemp(join(tmpdir(), "shunt-manifests-"));
  try {
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => writeManifest(directory, "pod.yaml", `${i}`.repeat(10_000))),
    );
    const text = await readFile(join(directory, "pod.yaml"), "utf8");
    assert.ok(Array.from({ length: 20 }, (_, i) => `${i}`.repeat(10_000)).includes(text));
    assert.equal(await readdir(directory), ["pod.yaml"]);
    let failed = false;
    await writeManifest(directory, "none/pod.yaml", "").catch(() => {
      failed = true;
    });
    assert.ok(failed);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test.run();
