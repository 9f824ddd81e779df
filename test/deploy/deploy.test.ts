/** What is in deploy/: it parses, it asks for no more than it needs, and it names metrics that there are. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { dump, loadAll } from "js-yaml";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { describeProblem } from "../../src/model/problem.js";
import { type Config, noConfig, policyOptions, readConfig } from "../../src/policy/config.js";
import { podPolicy } from "../../src/policy/podPolicy.js";
import { parseListen } from "../../src/web/listen.js";
import { pod } from "../policy/kit.js";

const root = fileURLToPath(new URL("../../deploy/", import.meta.url));
/** The examples have tests of their own (test/examples). */
const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter(
  (name) => /\.(?:ya?ml|json)$/.test(name) && !name.startsWith("examples/"),
);
const text = (name: string): string => readFileSync(join(root, name), "utf8");

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata?: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
  readonly resources?: readonly string[];
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
}
interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}
interface Container {
  readonly args: readonly string[];
  readonly env: readonly object[];
  readonly securityContext: Readonly<Record<string, unknown>> & { readonly capabilities: Record<string, string[]> };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[];
  readonly resources: Readonly<Record<string, Record<string, string>>>;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly startupProbe: Probe;
}
interface Probe {
  readonly httpGet: { readonly host: string; readonly path: string; readonly port: number };
}
interface PodSpec extends Readonly<Record<string, unknown>> {
  readonly containers: readonly [Container];
  readonly initContainers?: readonly unknown[];
  readonly volumes: readonly {
    readonly name: string;
    readonly hostPath?: { readonly path: string };
    readonly configMap?: { readonly name: string };
  }[];
}

const manifests = files.filter((name) => !name.endsWith(".json")).flatMap((name) => loadAll(text(name)) as Manifest[]);
const one = (kind: string, name = "shunt"): Manifest => {
  const [found, ...others] = manifests.filter((each) => each.kind === kind && each.metadata?.name === name);
  if (found === undefined || others.length > (kind === "DaemonSet" ? 1 : 0)) throw new Error(`not one ${kind} ${name}`);
  return found;
};
const podSpec = (): PodSpec => (one("DaemonSet").spec as { template: { spec: PodSpec } }).template.spec;

test("every file parses, and each document says what it is", () => {
  assert.ok(files.length > 5);
  for (const { apiVersion, kind } of manifests) assert.ok(apiVersion && kind);
  for (const name of files.filter((each) => each.endsWith(".json"))) assert.type(JSON.parse(text(name)), "object");
});

test("nothing that is in a kustomization is missing", () => {
  for (const name of files.filter((each) => each.endsWith("kustomization.yaml"))) {
    const [{ resources = [] } = { resources: [] }] = loadAll(text(name)) as Manifest[];
    for (const resource of resources) {
      const path = join(name, "..", resource);
      assert.ok(files.includes(path) || files.includes(join(path, "kustomization.yaml")), `${name}: ${resource}`);
    }
  }
});

test("the agent is not privileged, and has five capabilities", () => {
  const [{ securityContext }, ...others] = podSpec().containers;
  assert.is(others.length, 0);
  assert.is(podSpec().initContainers, undefined);
  assert.not.ok(files.some((name) => /privileged: *true/.test(text(name))));
  assert.is(securityContext["readOnlyRootFilesystem"], true);
  assert.equal(securityContext["seccompProfile"], { type: "RuntimeDefault" });
  assert.equal(securityContext.capabilities, {
    drop: ["ALL"],
    add: ["BPF", "NET_ADMIN", "PERFMON", "SYS_PTRACE", "SYS_ADMIN"],
  });
});

test("it sees the node's network and processes, and of its files three directories", () => {
  const { hostNetwork, hostPID, hostIPC, volumes, containers } = podSpec();
  assert.equal([hostNetwork, hostPID, hostIPC], [true, true, undefined]);
  const paths = new Map(volumes.flatMap(({ name, hostPath }) => (hostPath ? [[name, hostPath.path]] : [])));
  assert.equal([...paths.values()], ["/sys/fs/bpf", "/sys/fs/cgroup", "/run/shunt"]);
  const mounts = containers[0].volumeMounts.filter(({ name }) => name !== "config");
  assert.equal(new Map(mounts.map(({ name, mountPath }) => [name, mountPath])), paths);
  assert.ok(containers[0].volumeMounts.find(({ name }) => name === "cgroup")?.readOnly);
});

test("it follows a ConfigMap, whose keys are all in it, each with Istio's default", () => {
  const { containers, volumes } = podSpec();
  const [{ args, volumeMounts }] = containers;
  const { mountPath = "" } = volumeMounts.find(({ name }) => name === "config") ?? {};
  assert.ok(args.includes(`--config=${mountPath}/config.yaml`));
  const { configMap } = volumes.find(({ name }) => name === "config") ?? {};
  const config = one("ConfigMap", configMap?.name).data?.["config.yaml"] ?? "";
  assert.equal(readConfig(config, ""), { config: noConfig });
  const shown = config.replace(/^# (?! *[A-Z])/gm, "").replace(/^\{\}$/m, "");
  const read = readConfig(shown, "");
  if ("problems" in read) throw new Error(read.problems.map(describeProblem).join("\n"));
  const without = { ...read.config, standIns: new Map(read.config.standIns) };
  assert.ok(without.standIns.delete("traffic.sidecar.istio.io/excludeOutboundIPRanges"));
  const compiled = (config: Config): bigint | undefined => {
    const policy = podPolicy(pod(), policyOptions(noConfig, config));
    return policy.enrolled ? policy.policy.id : undefined;
  };
  assert.is(compiled(without), compiled(noConfig));
  const { sources: _, standIns: _values, ...options } = policyOptions(noConfig, without);
  const { sources: _default, standIns: _none, ...defaults } = policyOptions(noConfig, noConfig);
  assert.equal(options, defaults);
});

test("it is probed where it listens, and has limits", () => {
  const [{ args, livenessProbe, readinessProbe, startupProbe, resources }] = podSpec().containers;
  const listen = parseListen(args.find((arg) => arg.startsWith("--listen="))?.slice("--listen=".length) ?? "");
  const places = [livenessProbe, readinessProbe, startupProbe].map(({ httpGet }) => httpGet);
  for (const { host, port } of places) assert.equal([host, port], ["127.0.0.1", listen?.port]);
  assert.equal(
    places.map(({ path }) => path),
    ["/healthz", "/readyz", "/healthz"],
  );
  assert.ok(resources["limits"]?.["memory"] && resources["requests"]?.["memory"] && resources["requests"]["cpu"]);
});

test("the rights are these and no others", () => {
  const rules = manifests.flatMap(({ kind, metadata, rules: all = [] }) =>
    all.map(({ apiGroups, resources, resourceNames, verbs }) =>
      [kind, metadata?.namespace, apiGroups.join(), resources.join(), resourceNames?.join(), verbs.join()].join(" "),
    ),
  );
  assert.equal(rules, [
    "ClusterRole   pods  list,watch",
    "ClusterRole   namespaces  list,watch",
    "ClusterRole  networking.istio.io sidecars  list,watch",
    "ClusterRole   events  create",
    "Role istio-system  configmaps istio list,watch",
    "ClusterRole   nodes  get,patch",
  ]);
});

test("alerts and dashboard name metrics that the agent has", () => {
  const golden = readFileSync(new URL("../metrics/data/metrics.txt", import.meta.url), "utf8");
  const known = new Set([...golden.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name));
  const used = ["monitoring/rules.yaml", "monitoring/dashboard.json"].flatMap((name) =>
    [...text(name).matchAll(/\bshunt_\w+/g)].map(([metric]) => metric.replace(/_bucket$/, "")),
  );
  assert.ok(used.length > 15);
  assert.equal(
    used.filter((metric) => !known.has(metric)),
    [],
  );
});

test("Prometheus accepts the alerts", () => {
  const directory = mkdtempSync(join(tmpdir(), "shunt-deploy-"));
  try {
    const rules = join(directory, "rules.yaml");
    writeFileSync(rules, dump(one("PrometheusRule").spec));
    assert.match(execFileSync("promtool", ["check", "rules", rules], { encoding: "utf8" }), "6 rules found");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("the image is built from what the repository has, by the same build", () => {
  const docker = text("Dockerfile");
  assert.match(docker, /^FROM node:\d+-bookworm AS build$/m);
  assert.match(docker, /^FROM node:\d+-bookworm-slim$/m);
  for (const [, from] of docker.matchAll(/^COPY (?!--)([^ ]+)/gm)) {
    assert.ok(text("Dockerfile.dockerignore").split("\n").includes(`!${from}`), from);
  }
});

test.run();
