/** Random Sidecars around the pod: its own, other workloads', other namespaces', the root namespace's. */
import { below, list, pick, type Random } from "./seeded.js";
import {
  type Listener,
  type MeshSpec,
  podLabels,
  podNamespace,
  type SidecarSpec,
  type Surroundings,
} from "./sidecar.js";

const modes = [undefined, "DEFAULT", "IPTABLES", "NONE", "NONE", "NONE", "NONE"] as const;
const rootNamespaces = ["istio-system", "mesh-root"] as const;
/** The same second, another, and none: then the name decides. */
const times = [undefined, "2024-05-01T12:00:00Z", "2024-05-01T12:00:00Z", "2025-01-01T00:00:00Z"] as const;

function listeners(random: Random, ports: readonly string[], binds: readonly (string | undefined)[]): Listener[] {
  const chosen = new Set(
    list(random, 5, () => pick(random, ports))
      .split(",")
      .filter(Boolean)
      .map(Number),
  );
  return [...chosen].map((port) => ({ port, mode: pick(random, modes), bind: pick(random, binds) }));
}

function egress(random: Random, ports: readonly string[]): Listener[] {
  const named = listeners(random, ports, [undefined, undefined, "127.0.0.1", "0.0.0.0"]);
  const unix: Listener[] =
    random() < 0.1 ? [{ port: 0, mode: pick(random, ["NONE", "DEFAULT"]), bind: "unix:///run/a.sock" }] : [];
  // One is needed, and the one without a port is the last.
  const rest: Listener[] =
    random() < 0.7 || named.length === 0 ? [{ port: undefined, mode: pick(random, modes), bind: undefined }] : [];
  return [...named, ...unix, ...rest];
}

function selector(random: Random): SidecarSpec["selector"] {
  const [key = "app"] = Object.keys(podLabels);
  return pick(random, [
    undefined,
    undefined,
    undefined,
    {},
    podLabels,
    { [key]: podLabels[key] ?? "" },
    { [key]: "other" },
  ]);
}

function sidecar(random: Random, name: string, ports: readonly string[]): SidecarSpec {
  const closed = random();
  return {
    namespace: pick(random, [
      podNamespace,
      podNamespace,
      podNamespace,
      podNamespace,
      podNamespace,
      "other",
      ...rootNamespaces,
    ]),
    name,
    created: pick(random, times),
    selector: selector(random),
    ingress: listeners(random, ports, [undefined, undefined, "0.0.0.0"]),
    egress: egress(random, ports),
    policy:
      closed < 0.5
        ? undefined
        : closed < 0.55
          ? { mode: "ALLOW_ANY", egressProxy: true }
          : {
              mode: pick(random, ["ALLOW_ANY", "ALLOW_ANY", "ALLOW_ANY", "REGISTRY_ONLY", undefined]),
              egressProxy: false,
            },
  };
}

function mesh(random: Random): MeshSpec {
  return {
    policy: pick(random, [
      undefined,
      { mode: "ALLOW_ANY" },
      { mode: "ALLOW_ANY" },
      { mode: "REGISTRY_ONLY" },
      { mode: undefined },
    ]),
    rootNamespace: pick(random, [undefined, ...rootNamespaces]),
  };
}

/** @param ports that configurations name, so that annotations and listeners meet. */
export function randomSurroundings(random: Random, ports: readonly string[]): Surroundings {
  if (random() < 0.4) return { sidecars: [], mesh: undefined };
  const count = 1 + below(random, 4);
  // Not in the order of their names, so that the order of documents says nothing.
  const sidecars = Array.from({ length: count }, (_, i) =>
    sidecar(random, `${pick(random, ["a", "b", "c"])}-${i}`, ports),
  );
  return { sidecars, mesh: random() < 0.6 ? undefined : mesh(random) };
}

/** Every port that a listener has. */
export function portsOfSidecars({ sidecars }: Surroundings): number[] {
  const all = sidecars.flatMap(({ ingress, egress: out }) => [...ingress, ...out].flatMap(({ port }) => port ?? []));
  return [...new Set(all)].filter((port) => port > 0);
}
