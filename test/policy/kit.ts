/** Pods and settings for tests. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { load, loadAll } from "js-yaml";
import { type Address, type Prefix, parseAddress } from "../../src/model/address.js";
import type { Pod } from "../../src/model/pod.js";
import { readPod } from "../../src/model/podDocument.js";
import type { Sidecar } from "../../src/model/sidecar.js";
import { readSidecar } from "../../src/model/sidecarDocument.js";
import type { Settings } from "../../src/policy/settings.js";
import { parseRange, parseRanges, type Range } from "../../src/policy/values.js";

export function data(name: string): string {
  return readFileSync(fileURLToPath(new URL(`data/${name}`, import.meta.url)), "utf8");
}

/** The pod in one of the files of data/, or that of its Deployment, as a document. */
export function podTemplate(name: string): { metadata: Record<string, unknown>; spec: Record<string, unknown> } {
  type Template = ReturnType<typeof podTemplate>;
  const document = loadAll(data(name))[0] as Template & { spec: { template?: Template } };
  const { metadata, spec } = document.spec.template ?? document;
  return { metadata: { ...metadata, uid: `uid-${name}`, name: document.metadata["name"] }, spec };
}

export interface PodChanges {
  readonly annotations?: Record<string, unknown>;
  readonly labels?: Record<string, unknown>;
  readonly namespace?: string;
  readonly spec?: Record<string, unknown>;
  /** Of istio-proxy. */
  readonly proxy?: Record<string, unknown>;
}

/** A pod that is enrolled unless the changes say otherwise. */
export function pod(changes: PodChanges = {}): Pod {
  const proxy = { name: "istio-proxy", args: ["proxy", "sidecar"], ...changes.proxy };
  const read = readPod(
    {
      metadata: {
        uid: "u",
        name: "p",
        namespace: changes.namespace ?? "ns",
        labels: changes.labels,
        annotations: { "sidecar.istio.io/status": "{}", ...changes.annotations },
      },
      spec: { containers: [{ name: "app" }, proxy], ...changes.spec },
    },
    "p.yaml:1",
  );
  if (read.pod === undefined) throw new Error(JSON.stringify(read.problems));
  return read.pod;
}

/** The Sidecar ns/s, which is for every pod of its namespace unless its spec says otherwise. */
export function sidecar(spec: string, metadata: object = {}): Sidecar {
  const document = { apiVersion: "networking.istio.io/v1", kind: "Sidecar", spec: load(spec) };
  const read = readSidecar({ ...document, metadata: { name: "s", namespace: "ns", ...metadata } }, "s.yaml:1");
  if (read.sidecar === undefined) throw new Error(JSON.stringify(read.problems));
  return read.sidecar;
}

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

export function prefix(text: string): Prefix {
  const parsed = parseRange(text);
  if ("why" in parsed) throw new Error(`${text}: ${parsed.why}`);
  return parsed.value.prefix;
}

export function ranges(text: string): readonly Range[] {
  const parsed = parseRanges(text, { star: false });
  if ("why" in parsed) throw new Error(`${text}: ${parsed.why}`);
  return parsed.value;
}

/** Istio's defaults. */
export const defaults: Settings = {
  includeOutboundRanges: "*",
  excludeOutboundRanges: [],
  includeOutboundPorts: [],
  excludeOutboundPorts: [15020],
  includeInboundPorts: "*",
  excludeInboundPorts: [15020, 15021, 15090],
  proxyUid: 1337,
  proxyGid: 1337,
  outboundPort: 15001,
  inboundPort: 15006,
  ownerGroups: "*",
  ownerGroupsExcluded: [],
  dnsCapture: false,
  dualStack: false,
  excludeInterfaces: [],
  loopback: prefix("127.0.0.1/32"),
};
