/** Objects to make in a cluster, and a source that watches it. */
import { setTimeout as sleep } from "node:timers/promises";
import { accessTo } from "../../../src/source/kubernetes/access.js";
import { type Client, openClient } from "../../../src/source/kubernetes/client.js";
import { type KubernetesSource, openKubernetes } from "../../../src/source/kubernetes/source.js";
import { defaultTimes, type Times } from "../../../src/source/kubernetes/times.js";
import type { ClusterBed } from "./clusterBed.js";

/** Everything that is seconds and minutes otherwise, in tenths of seconds. */
export const quick: Times = {
  ...defaultTimes,
  listSilence: 5000,
  watchSilence: 1000,
  firstRetry: 50,
  longestRetry: 500,
  longestLook: 300,
  goneAfter: 1000,
};

export interface Opened {
  readonly source: KubernetesSource;
  readonly notes: readonly string[];
  /** Number of calls of `onChange`. */
  changes(): number;
}

const overheard = (client: Client, heard: (text: string) => void): Client => ({
  async json(request) {
    const answer = await client.json(request);
    heard(JSON.stringify(answer));
    return answer;
  },
  lines: (request, reader) =>
    client.lines(request, {
      ...reader,
      onLine(line) {
        heard(line);
        reader.onLine(line);
      },
    }),
});

/** A source of the bed's agent, closed afterwards. */
export async function withSource<T>(
  bed: ClusterBed,
  options: {
    readonly node: string;
    readonly times?: Partial<Times>;
    /** Called with all that the server says. */
    heard?(text: string): void;
  },
  use: (opened: Opened) => Promise<T>,
): Promise<T> {
  let changes = 0;
  const notes: string[] = [];
  const source = openKubernetes({
    client: overheard(openClient(accessTo(bed.kubeconfig), "shunt/test"), (text) => options.heard?.(text)),
    node: options.node,
    rootNamespace: "istio-system",
    name: "test",
    times: { ...quick, ...options.times },
    onChange() {
      changes++;
    },
    onNote: (_level, text) => notes.push(text),
  });
  try {
    return await use({ source, notes, changes: () => changes });
  } finally {
    source.close();
  }
}

/** @throws Error with `describe` if it does not come true within a minute. */
export async function until(done: () => boolean, describe: () => unknown = () => ""): Promise<void> {
  for (let left = 6000; !done(); left--) {
    if (left === 0) throw new Error(`it did not come: ${JSON.stringify(describe())}`);
    await sleep(10);
  }
}

export const names = (source: KubernetesSource): string[] => source.snapshot().pods.map(({ name }) => name);

let numbers = 0;
/** A word that no other test of this process uses. */
export const unique = (word: string): string => `${word}-${++numbers}`;

export interface PodFacts {
  readonly namespace?: string;
  readonly name: string;
  readonly node: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}

const podsOf = (namespace: string): string => `/api/v1/namespaces/${namespace}/pods`;

export async function makePod(bed: ClusterBed, facts: PodFacts): Promise<{ uid: string }> {
  const { namespace = "default", name, node, annotations = {}, labels = {} } = facts;
  const body = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, annotations, labels },
    spec: { nodeName: node, containers: [{ name: "app", image: "app" }], terminationGracePeriodSeconds: 0 },
  };
  const made = await bed.admin(podsOf(namespace), { method: "POST", body });
  return { uid: (made as { metadata: { uid: string } }).metadata.uid };
}

export async function annotate(
  bed: ClusterBed,
  name: string,
  annotations: Record<string, string | null>,
): Promise<void> {
  const contentType = "application/merge-patch+json";
  await bed.admin(`${podsOf("default")}/${name}`, {
    method: "PATCH",
    body: { metadata: { annotations } },
    contentType,
  });
}

export async function removePod(bed: ClusterBed, name: string): Promise<void> {
  await bed.admin(`${podsOf("default")}/${name}`, { delete: true });
}

export async function makeSidecar(bed: ClusterBed, version: string, name: string, spec: object = {}): Promise<void> {
  const apiVersion = `networking.istio.io/${version}`;
  await bed.admin(`/apis/${apiVersion}/namespaces/default/sidecars`, {
    method: "POST",
    body: { apiVersion, kind: "Sidecar", metadata: { name }, spec },
  });
}

export const sidecars = (source: KubernetesSource): string[] =>
  source.snapshot().documents.sidecars.map(({ where }) => where.replace("Sidecar default/", ""));
