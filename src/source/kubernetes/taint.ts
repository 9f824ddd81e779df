/**
 * The taint that keeps pods off a node until the agent steers there. Whoever makes nodes gives it to them
 * (kubelet --register-with-taints=shunt.dev/agent-not-ready:NoSchedule); the agent takes it away, and never puts
 * it there: pods that run are steered without the agent.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { makeBackoff } from "./backoff.js";
import { ApiError, type Client } from "./client.js";

export const taintKey = "shunt.dev/agent-not-ready";

export interface TaintOptions {
  readonly client: Client;
  readonly node: string;
  readonly signal: AbortSignal;
  /** It was there, and is gone. */
  onRemoved(): void;
  /** It could not be read or taken away; each reason once. Another attempt follows. */
  onTrouble(why: string): void;
  /** ms: the first wait after a failure, the longest, and without a byte of an answer. */
  readonly times?: { readonly first: number; readonly longest: number; readonly silence: number };
}

/** Where in the list of taints ours are. */
function placesOf(node: unknown): number[] {
  const { spec } = (node ?? {}) as { spec?: { taints?: readonly { key?: unknown }[] } };
  return (spec?.taints ?? []).flatMap(({ key }, place) => (key === taintKey ? [place] : []));
}

/** Removes by place what is tested to be ours: a list that changed meanwhile makes the patch fail as a whole. */
export function removal(places: readonly number[]): object[] {
  return places.toReversed().flatMap((place) => [
    { op: "test", path: `/spec/taints/${place}/key`, value: taintKey },
    { op: "remove", path: `/spec/taints/${place}` },
  ]);
}

/** Resolves when the node does not have the taint, or the signal says to stop. */
export async function removeTaint(options: TaintOptions): Promise<void> {
  const { client, signal } = options;
  const times = options.times ?? { first: 500, longest: 300_000, silence: 30_000 };
  const backoff = makeBackoff({ first: times.first, longest: times.longest, random: Math.random });
  const path = `/api/v1/nodes/${encodeURIComponent(options.node)}`;
  const common = { path, silence: times.silence, signal };
  const said = new Set<string>();
  while (!signal.aborted) {
    try {
      const places = placesOf(await client.json(common));
      if (places.length === 0) return;
      const contentType = "application/json-patch+json";
      await client.json({ ...common, method: "PATCH", body: removal(places), contentType });
      options.onRemoved();
      return;
    } catch (error) {
      if (signal.aborted) return;
      const { status = 0, retryAfter = 0, message } = error as Partial<ApiError>;
      // 409, 422: somebody else changed the list. That is not worth a word.
      const changed = error instanceof ApiError && (status === 409 || status === 422);
      if (!changed && !said.has(`${message}`)) options.onTrouble(`${message}`);
      said.add(`${message}`);
      await sleep(backoff.next(retryAfter), undefined, { signal }).catch(() => {});
    }
  }
}
