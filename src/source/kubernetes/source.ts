/**
 * A cluster as a source: the pods of this node, and of the whole cluster what decides over them: Sidecars,
 * namespaces and the mesh's configuration.
 *
 * An API server that is away, or refuses, changes nothing: what it said last holds. Before everything has been
 * read once there is no snapshot to go by, because a pod without its Sidecar would get another policy.
 */
import { defaultMesh, type Mesh } from "../../model/mesh.js";
import { readMesh } from "../../model/meshDocument.js";
import { type Pod, podName, type Snapshot } from "../../model/pod.js";
import { readPod } from "../../model/podDocument.js";
import type { Problem } from "../../model/problem.js";
import type { Sidecar } from "../../model/sidecar.js";
import { readSidecar } from "../../model/sidecarDocument.js";
import type { Source } from "../../model/source.js";
import type { Client } from "./client.js";
import { type EventObject, openEvents } from "./events.js";
import { type Meta, metaOf, withoutManagedFields } from "./meta.js";
import { openReflector, type Reflector } from "./reflector.js";
import { locateSidecars } from "./sidecars.js";
import { removeTaint, taintKey } from "./taint.js";
import type { Times } from "./times.js";

/** An object as the server gave it, for whoever knows how to read it. The same object while it is unchanged. */
export interface ClusterDocument {
  readonly document: unknown;
  /** For messages: `Sidecar shop/default`. */
  readonly where: string;
}

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

interface ReadSidecar extends ClusterDocument {
  /** The last one that Istio would admit. */
  readonly sidecar: Sidecar | undefined;
  readonly problems: readonly Problem[];
}

interface ReadMesh extends ClusterDocument {
  /** The last good one. */
  readonly mesh: Mesh;
  readonly problems: readonly Problem[];
}

interface ReadPod {
  readonly pod: Pod | undefined;
  readonly problems: readonly Problem[];
}

/** A pod that cannot be read stays as it was: read without its containers it would seem to want no capture. */
function readDocument(document: unknown, _meta: Meta, before: ReadPod | undefined): ReadPod {
  const { pod = before?.pod, problems } = readPod(document, "");
  return { pod, problems };
}

const keepAs =
  (kind: string) =>
  (document: unknown, { namespace, name }: Meta): ClusterDocument => ({
    document: withoutManagedFields(document),
    where: `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}`,
  });

const byText =
  <T>(text: (item: T) => string) =>
  (a: T, b: T): number =>
    text(a) < text(b) ? -1 : 1;

/** The items of a list do not say what they are. One that is refused now stays as it was. */
function readSidecarOf(document: unknown, meta: Meta, before: ReadSidecar | undefined): ReadSidecar {
  const kept = keepAs("Sidecar")(document, meta);
  const whole = { apiVersion: "networking.istio.io/v1", kind: "Sidecar", ...(kept.document as object) };
  const { sidecar = before?.sidecar, problems } = readSidecar(whole, kept.where);
  return { ...kept, sidecar, problems };
}

function readMeshOf(document: unknown, meta: Meta, before: ReadMesh | undefined): ReadMesh {
  const kept = keepAs("ConfigMap")(document, meta);
  const { mesh, problems } = readMesh(kept.document, kept.where);
  return { ...kept, mesh: problems.length === 0 ? mesh : (before?.mesh ?? mesh), problems };
}

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
  const sidecars = openReflector({
    ...fixed,
    locate: locateSidecars(client, times.listSilence),
    query: {},
    read: readSidecarOf,
  });
  const namespaces = openReflector({
    ...fixed,
    locate: at("/api/v1/namespaces"),
    query: {},
    read: keepAs("Namespace"),
  });
  const mesh = openReflector({
    ...fixed,
    locate: at(`/api/v1/namespaces/${rootNamespace}/configmaps`),
    query: { fieldSelector: "metadata.name=istio" },
    read: readMeshOf,
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
    const known = read.flatMap(({ pod }) => pod ?? []).sort(byText((pod) => `${podName(pod)}/${pod.uid}`));
    const troubles = all.flatMap(({ kind, reflector }) =>
      reflector.trouble === "" ? [] : [sourceProblem(options.name, kind, reflector)],
    );
    const [asked, meshes] = [documents(sidecars), documents(mesh)];
    return {
      pods: complete ? known : [],
      sidecars: asked.flatMap(({ sidecar }) => sidecar ?? []),
      mesh: meshes[0]?.mesh ?? defaultMesh,
      problems: [...troubles, ...[...read, ...asked, ...meshes].flatMap(({ problems }) => problems)],
      complete,
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
