/**
 * Where the API server is and how to prove who we are: a kubeconfig file, or what Kubernetes mounts into a pod.
 *
 * Everything is read anew for each request. Tokens live an hour and certificates are replaced, and requests are
 * rare: a watch lasts for minutes. client-node itself would keep a token for a minute after it was replaced.
 */
import { readFileSync, statSync } from "node:fs";
import type { RequestOptions } from "node:https";
import type { KubeConfig } from "@kubernetes/client-node/dist/config.js";
import { load } from "js-yaml";
import { UsageError } from "../../errors.js";
import { proxyFor } from "./proxy.js";

export interface Access {
  /** It may have a path, below which the API is. */
  readonly server: URL;
  /** Agent (with certificates and proxy) and headers. */
  readonly request: RequestOptions;
}

/** @throws Error if a file cannot be read or the credentials cannot be made. */
export type GetAccess = () => Promise<Access>;

/** Where kubelet mounts a service account's files. */
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Whether this process is in a pod that may speak to the API server. */
export function isInCluster(env: NodeJS.ProcessEnv, prefix = ""): boolean {
  const token = statSync(`${prefix}${serviceAccount}/token`, { throwIfNoEntry: false });
  return token !== undefined && Boolean(env["KUBERNETES_SERVICE_HOST"]) && Boolean(env["KUBERNETES_SERVICE_PORT"]);
}

function entries(value: unknown, list: string): { name: unknown; user: Record<string, unknown> }[] {
  const found: unknown = typeof value === "object" && value !== null ? Reflect.get(value, list) : undefined;
  return Array.isArray(found) ? found : [];
}

/** `tokenFile` is what kubectl reads (client-go, clientcmd/api/v1/types.go); client-node 1.4 knows `token-file` only. */
function useTokenFiles(config: KubeConfig, text: string): void {
  for (const { name, user } of entries(load(text), "users")) {
    const tokenFile = user?.["tokenFile"];
    const known = config.users.find((each) => each.name === name);
    if (typeof tokenFile !== "string" || known === undefined) continue;
    const replaced = { ...known, authProvider: { name: "tokenFile", config: { tokenFile } } };
    config.users[config.users.indexOf(known)] = replaced;
  }
}

/** client-node knows a kubeconfig's `proxy-url` only. */
function useProxy(config: KubeConfig, env: NodeJS.ProcessEnv): void {
  const cluster = config.getCurrentCluster();
  if (cluster === null || cluster.proxyUrl) return;
  const proxyUrl = proxyFor(new URL(cluster.server), env);
  if (proxyUrl !== undefined) config.clusters[config.clusters.indexOf(cluster)] = { ...cluster, proxyUrl };
}

async function loadConfig(kubeconfig: string | undefined, prefix: string): Promise<KubeConfig> {
  // Here, so that whoever does without a cluster does not pay for it: 15 MiB.
  const { KubeConfig } = await import("@kubernetes/client-node/dist/config.js");
  const config = new KubeConfig();
  if (kubeconfig === undefined) {
    config.loadFromCluster(prefix);
    return config;
  }
  config.loadFromFile(kubeconfig);
  useTokenFiles(config, readFileSync(kubeconfig, "utf8"));
  return config;
}

/**
 * @param kubeconfig path; without it the pod's own service account.
 * @param prefix put before the path of the service account's files, for tests.
 * @param env where a proxy may be named; a kubeconfig's `proxy-url` is stronger.
 */
export function accessTo(kubeconfig: string | undefined, prefix = "", env = process.env): GetAccess {
  return async () => {
    const config = await loadConfig(kubeconfig, prefix);
    useProxy(config, env);
    const cluster = config.getCurrentCluster();
    if (cluster === null) throw new UsageError(`${kubeconfig}: it names no cluster for its current context`);
    const headers: Record<string, string> = {};
    const request: RequestOptions = { headers };
    await config.applyToHTTPSOptions(request);
    // A file ends in a line feed more often than not, and a header must not.
    for (const [name, value] of Object.entries(headers)) headers[name] = value.trim();
    return { server: new URL(cluster.server), request };
  };
}
