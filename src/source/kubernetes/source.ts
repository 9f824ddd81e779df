/**
 * A cluster as a source: the pods of this node, and of the whole cluster what decides over them: Sidecars,
 * namespaces and the mesh's configuration.
 *
 * An API server that is away, or refuses, changes nothing: what it said last holds. Before everything has been
 * read once there is no snapshot to go by, because a pod without its Sidecar would get another policy.
 */
import { defaultMesh } from "../../model/mesh.js";
import { podName, type Snapshot, sortPods } from "../../model/pod.js";
import type { Problem } from "../../model/problem.js";
import type { Source } from "../../model/source.js";
import { unreadSidecars } from "../../model/unread.js";
import type { Client } from "./client.js";
import { type EventObject, openEvents } from "./events.js";
import { metaOf } from "./meta.js";
import {
  type ClusterDocument,
  keepAs,
  type ReadMesh,
  type ReadSidecar,
  readDocument,
  readMeshOf,
  readSidecarOf,
} from "./read.js";
import { openReflector, type Reflector } from "./reflector.js";
import { locateSidecars } from "./sidecars.js";
import { removeTaint, taintKey } from "./taint.js";
import type { Times } from "./times.js";

export interface ClusterDocuments {
  /** Of all namespaces, sorted by namespace, then name. */
  readonly sidecars: readonly ClusterDocument[];
  readonly namespaces: readonly ClusterDocument[];
  /** The ConfigMap `istio` of the root namespace. */
  readonly mesh: ClusterDocument | undefined;
}

export interface KubernetesSnapshot extends Snapshot {
  readonly documents: ClusterDocuments;
}

export interface KubernetesSource extends Source {
  snapshot(): KubernetesSnapshot;
}

export interface KubernetesOptions {
  readonly client: Client;
  /** Of this machine, as `spec.nodeName` has it. */
  readonly node: string;
  /** Where Istio's own configuration is. */
  readonly rootNamespace: string;
  /** For people: `kubeconfig /etc/…`. */
  readonly name: string;
  readonly times: Times;
  /** Another snapshot is to be had. */
  onChange(): void;
  /** What happened between the agent and the cluster, in words. */
  onNote(level: "info" | "warn", text: string): void;
}

const byText =
  <T>(text: (item: T) => string) =>
  (a: T, b: T): number =>
    text(a) < text(b) ? -1 : 1;

export function openKubernetes(options: KubernetesOptions): KubernetesSource {
  const { client, node, rootNamespace, times } = options;
  let snapshot: KubernetesSnapshot | undefined;
  let closed = false;
  let onSynced = (): void => {};
  const synced = new Promise<void>((resolve) => {
    onSynced = resolve;
  });

  const allSynced = (): boolean => all.every(({ reflector }) => reflector.synced);
  const onChange = (): void => {
    snapshot = undefined;
    if (closed) return;
    if (allSynced()) onSynced();
    options.onChange();
  };
  const at = (path: string) => async (): Promise<string> => path;
  const fixed = { client, times, onChange };
  const pods = openReflector({
    ...fixed,
    locate: at("/api/v1/pods"),
    query: { fieldSelector: `spec.nodeName=${node}` },
    read: readDocument,
  });
  const sidecars: Reflector<ReadSidecar> = openReflector<ReadSidecar>({
    ...fixed,
    locate: locateSidecars(client, times.listSilence),
    query: {},
    read: (document, meta, before) => readSidecarOf(document, meta, before, !sidecars.synced),
  });
  const namespaces = openReflector({
    ...fixed,
    locate: at("/api/v1/namespaces"),
    query: {},
    read: keepAs("Namespace"),
  });
  const mesh: Reflector<ReadMesh> = openReflector<ReadMesh>({
    ...fixed,
    locate: at(`/api/v1/namespaces/${rootNamespace}/configmaps`),
    query: { fieldSelector: "metadata.name=istio" },
    read: (document, meta, before) => readMeshOf(document, meta, before, !mesh.synced),
  });
  const all: readonly { readonly kind: string; readonly reflector: Reflector<unknown> }[] = [
    { kind: "pods", reflector: pods },
    { kind: "sidecars", reflector: sidecars },
    { kind: "namespaces", reflector: namespaces },
    { kind: "configmaps", reflector: mesh },
  ];

  const documents = <D extends ClusterDocument>(reflector: Reflector<D>): D[] =>
    [...reflector.items.values()].sort(byText(({ where }) => where));
  const make = (): KubernetesSnapshot => {
    const complete = allSynced();
    const read = [...pods.items.values()];
    const known = sortPods(read.flatMap(({ pod }) => pod ?? []));
    const troubles = all.flatMap(({ kind, reflector }) =>
      reflector.trouble === "" ? [] : [sourceProblem(options.name, kind, reflector)],
    );
    const [asked, meshes] = [documents(sidecars), documents(mesh)];
    const unread = asked.flatMap((each) => (each.unread ? [nameOf(each)] : []));
    return {
      pods: complete ? known : [],
      sidecars: asked.flatMap(({ sidecar }) => sidecar ?? []),
      mesh: meshes[0]?.mesh ?? defaultMesh,
      problems: [...troubles, ...[...read, ...asked, ...meshes].flatMap(({ problems }) => problems)],
      complete,
      unread: { sidecars: unreadSidecars(unread), mesh: meshes.some((each) => each.unread) },
      documents: { sidecars: asked, namespaces: documents(namespaces), mesh: meshes[0] },
    };
  };

  const events = openEvents({
    client,
    node,
    find: (problem) => objectOf(problem, api.snapshot()),
    onRefused: (why) => options.onNote("warn", `a problem could not be made an Event: ${why}`),
  });
  const ended = new AbortController();
  const api: KubernetesSource = {
    name: options.name,
    synced,
    snapshot() {
      snapshot ??= make();
      return snapshot;
    },
    report: (problems) => events.update(problems),
    ready() {
      void removeTaint({
        client,
        node,
        signal: ended.signal,
        onRemoved: () => options.onNote("info", `the taint ${taintKey} was removed from node ${node}`),
        onTrouble: (why) => options.onNote("warn", `the taint ${taintKey} cannot be removed from node ${node}: ${why}`),
      });
    },
    close() {
      closed = true;
      ended.abort();
      events.close();
      for (const { reflector } of all) reflector.close();
    },
  };
  return api;
}

function nameOf({ document }: ClusterDocument): string | undefined {
  const meta = metaOf(document);
  return meta === undefined ? undefined : `${meta.namespace}/${meta.name}`;
}

/** What a problem is a problem of: the pod that it names, else the Sidecar that it stands in. */
function objectOf(problem: Problem, { pods, documents }: KubernetesSnapshot): EventObject | undefined {
  const pod = problem.pod === "" ? undefined : pods.find((each) => podName(each) === problem.pod);
  if (pod !== undefined) {
    const { namespace, name, uid } = pod;
    return { apiVersion: "v1", kind: "Pod", namespace, name, uid };
  }
  const found = documents.sidecars.find(({ where }) => where === problem.where)?.document;
  const meta = metaOf(found);
  if (meta === undefined) return undefined;
  const { namespace, name, uid } = meta;
  return { apiVersion: sidecarVersion(found), kind: "Sidecar", namespace, name, uid };
}

/** The items of a list do not say their version; any that the cluster serves names the same object. */
function sidecarVersion(document: unknown): string {
  const { apiVersion } = (document ?? {}) as { apiVersion?: unknown };
  return typeof apiVersion === "string" ? apiVersion : "networking.istio.io/v1";
}

function sourceProblem(where: string, key: string, { synced, trouble }: Reflector<unknown>): Problem {
  const effect = synced ? "what is known of them stays as it is" : "nothing is changed until they have been read";
  return { kind: "source", where, pod: "", key, value: "", why: `${trouble}: ${effect}` };
}
