/**
 * Problems as Kubernetes Events on the object that has them, where `kubectl describe` shows them.
 *
 * An Event's name is made of the object and the words, so the same problem is one Event, however often the agent
 * starts and however many nodes see it. The server keeps Events for an hour; a problem that still stands is then
 * told again. More than a few a minute are not sent at once: they wait, as long as they stand.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { describeProblem, type Problem } from "../../model/problem.js";
import { makeBackoff } from "./backoff.js";
import { ApiError, type Client } from "./client.js";

export interface EventObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface EventOptions {
  readonly client: Client;
  /** Of this machine: who says it. */
  readonly node: string;
  /** @returns what the problem is a problem of, or undefined if that is no object of the API. */
  find(problem: Problem): EventObject | undefined;
  /** An Event was refused. */
  onRefused(why: string): void;
  /** Events at once, ms until there may be another, and ms after which one that stands is told again. */
  readonly limits?: { readonly burst: number; readonly interval: number; readonly renewal: number };
  /** ms without a byte of an answer. */
  readonly silence?: number;
}

export interface EventReporter {
  /** All problems that there are now. */
  update(problems: readonly Problem[]): void;
  close(): void;
}

const reasons: Readonly<Record<Problem["kind"], string>> = {
  document: "BadDocument",
  pod: "BadPod",
  annotation: "BadAnnotation",
  sidecar: "BadSidecar",
  mesh: "BadMeshConfig",
  cgroup: "CgroupProblem",
  namespace: "NamespaceProblem",
  listener: "ListenerProblem",
  kernel: "PolicyNotApplied",
  source: "SourceProblem",
};

/** As the server takes it: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ */
export function eventOf(problem: Problem, object: EventObject, node: string, now: Date): object {
  const message = describeProblem({ ...problem, where: "", pod: "" }).slice(0, 1024);
  const hash = createHash("sha256").update(`${object.uid}\n${message}`).digest("hex").slice(0, 16);
  const at = now.toISOString().replace(/\.\d+/, "");
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: { namespace: object.namespace, name: `${object.name.slice(0, 200)}.${hash}` },
    involvedObject: object,
    type: "Warning",
    reason: reasons[problem.kind],
    message,
    source: { component: "shunt", host: node },
    reportingComponent: "shunt.dev/agent",
    reportingInstance: node,
    firstTimestamp: at,
    lastTimestamp: at,
    count: 1,
  };
}

export function openEvents(options: EventOptions): EventReporter {
  const { client, silence = 30_000 } = options;
  const { burst, interval, renewal } = options.limits ?? { burst: 10, interval: 10_000, renewal: 3_900_000 };
  const ended = new AbortController();
  const { signal } = ended;
  const backoff = makeBackoff({ first: 500, longest: 60_000, random: Math.random });
  let standing = new Map<string, { readonly problem: Problem; readonly object: EventObject }>();
  /** When it was told. */
  const told = new Map<string, number>();
  let tokens = burst;
  let filled = performance.now();
  let running = false;
  let renew: NodeJS.Timeout | undefined;

  const due = (): string | undefined => {
    const now = performance.now();
    return [...standing.keys()].find((key) => now - (told.get(key) ?? Number.NEGATIVE_INFINITY) >= renewal);
  };
  const token = async (): Promise<void> => {
    const now = performance.now();
    const more = Math.floor((now - filled) / interval);
    tokens = Math.min(burst, tokens + more);
    filled += more * interval;
    if (tokens === 0) {
      await sleep(filled + interval - now, undefined, { signal });
      return await token();
    }
    tokens--;
  };
  const send = async (key: string): Promise<void> => {
    const entry = standing.get(key);
    if (entry === undefined) return;
    const { problem, object } = entry;
    try {
      await client.json({
        method: "POST",
        path: `/api/v1/namespaces/${object.namespace}/events`,
        body: eventOf(problem, object, options.node, new Date()),
        silence,
        signal,
      });
    } catch (error) {
      const { status = 0, message } = error as Partial<ApiError>;
      // A refusal stays one. 409: it is there already; 404: the namespace is gone.
      if (!(error instanceof ApiError) || status === 429 || status >= 500 || status === 401) throw error;
      if (status !== 409 && status !== 404) options.onRefused(`${message}`);
    }
    told.set(key, performance.now());
  };
  const run = async (): Promise<void> => {
    for (let key = due(); key !== undefined && !signal.aborted; key = due()) {
      try {
        await token();
        await send(key);
        backoff.reset();
      } catch (error) {
        const { retryAfter } = error as Partial<ApiError>;
        await sleep(backoff.next(retryAfter), undefined, { signal }).catch(() => {});
      }
    }
  };
  const start = (): void => {
    if (signal.aborted || running) return;
    running = true;
    void run().finally(() => {
      running = false;
      clearTimeout(renew);
      if (standing.size > 0 && !signal.aborted) renew = setTimeout(start, renewal).unref();
    });
  };

  return {
    update(problems) {
      standing = new Map(
        problems.flatMap((problem) => {
          const object = options.find(problem);
          return object === undefined ? [] : [[`${object.uid}\n${describeProblem(problem)}`, { problem, object }]];
        }),
      );
      // One that went and comes back within the hour is the same Event.
      const now = performance.now();
      for (const [key, at] of told) if (!standing.has(key) && now - at >= renewal) told.delete(key);
      if (due() !== undefined) start();
    },
    close() {
      clearTimeout(renew);
      ended.abort();
    },
  };
}
