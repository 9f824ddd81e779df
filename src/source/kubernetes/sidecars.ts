/** Under which version the cluster serves Istio's Sidecar: v1 since 1.22, v1beta1 since 1.5, v1alpha3 before that. */
import { ApiError, type Client } from "./client.js";

const group = "networking.istio.io";

/** The versions of a group, the one that the server prefers first; none if it does not know the group. */
async function groupVersions(get: (path: string) => Promise<unknown>): Promise<string[]> {
  const found = (await get(`/apis/${group}`)) as {
    versions?: readonly { version?: unknown }[];
    preferredVersion?: { version?: unknown };
  };
  const all = [found.preferredVersion, ...(found.versions ?? [])].map((each) => each?.version);
  return [...new Set(all.filter((version) => typeof version === "string"))];
}

/** @returns the path of the Sidecars of all namespaces, or undefined if the cluster has no such kind. */
export function locateSidecars(client: Client, silence: number) {
  return async (signal: AbortSignal): Promise<string | undefined> => {
    const get = (path: string): Promise<unknown> => client.json({ path, silence, signal });
    try {
      for (const version of await groupVersions(get)) {
        const path = `/apis/${group}/${version}`;
        const { resources } = (await get(path)) as { resources?: readonly { name?: unknown }[] };
        if (resources?.some(({ name }) => name === "sidecars")) return `${path}/sidecars`;
      }
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
    }
    return undefined;
  };
}
