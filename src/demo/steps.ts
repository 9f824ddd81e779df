/** What the demo does, and where each call has to go by the contract (semantics, sections 2 to 4). Pure. */
const prefix = "traffic.sidecar.istio.io/";

/** The service's address: both workloads take it. */
export const service = { address: "10.96.10.10", port: 5000 } as const;
export const workloads = [
  { name: "helloworld-v1", address: "10.77.0.11" },
  { name: "helloworld-v2", address: "10.77.0.12" },
] as const;
export const client = { name: "client", address: "10.77.0.2" } as const;

type Way = "proxy" | "direct";

export interface Call {
  readonly to: string;
  /** Through the client's proxy, or not. */
  readonly out: Way;
  /** Through the proxy of each workload that may answer, or not. */
  readonly into: Readonly<Record<string, Way>>;
}

export interface Step {
  /** What a person would say has changed. */
  readonly change: string;
  /** Name of the pod whose annotations they are. */
  readonly pod: string;
  /** The pod's annotations, whole; those of the other pods stay. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly calls: readonly Call[];
}

const [v1, v2] = workloads;
const both = { [v1.name]: "proxy", [v2.name]: "proxy" } as const;
const toService = (out: Way): Call => ({ to: `${service.address}:${service.port}`, out, into: both });
const toPod = (pod: { readonly name: string; readonly address: string }, port: number, out: Way, into: Way): Call => ({
  to: `${pod.address}:${port}`,
  out,
  into: { [pod.name]: into },
});

export const steps: readonly Step[] = [
  {
    change: "no annotation: all TCP is captured, out of a pod and into it",
    pod: client.name,
    annotations: {},
    calls: [toService("proxy"), toPod(v1, 5000, "proxy", "proxy")],
  },
  {
    change: 'client: excludeOutboundPorts: "5000"',
    pod: client.name,
    annotations: { [`${prefix}excludeOutboundPorts`]: "5000" },
    calls: [toService("direct"), toPod(v1, 5001, "proxy", "proxy")],
  },
  {
    change: 'helloworld-v1: excludeInboundPorts: "5000"',
    pod: v1.name,
    annotations: { [`${prefix}excludeInboundPorts`]: "5000" },
    calls: [toPod(v1, 5000, "direct", "direct"), toPod(v2, 5000, "direct", "proxy")],
  },
  {
    change: "helloworld-v1: back to no annotation",
    pod: v1.name,
    annotations: {},
    calls: [toPod(v1, 5000, "direct", "proxy")],
  },
  {
    change: 'client: excludeOutboundIPRanges: "10.96.0.0/16"',
    pod: client.name,
    annotations: { [`${prefix}excludeOutboundIPRanges`]: "10.96.0.0/16" },
    calls: [toService("direct"), toPod(v1, 5000, "proxy", "proxy")],
  },
  {
    change: 'client: includeOutboundIPRanges: "", includeOutboundPorts: "5000"',
    pod: client.name,
    annotations: { [`${prefix}includeOutboundIPRanges`]: "", [`${prefix}includeOutboundPorts`]: "5000" },
    calls: [toService("proxy"), toPod(v1, 5001, "direct", "proxy")],
  },
  {
    change: "client: back to no annotation",
    pod: client.name,
    annotations: {},
    calls: [toService("proxy"), toPod(v1, 5001, "proxy", "proxy")],
  },
];

/** What a call brought back. */
export interface Answer {
  readonly server: string;
  /** Header `via`: each proxy adds its name, the one next to the workload first. */
  readonly via: string;
  /** As each proxy says that it saw it, in the same order; "" if the call passed through none. */
  readonly originalDestination: string;
  /** getpeername() of the client's socket. */
  readonly peer: string;
  readonly body: string;
}

/** A proxy that a call passed through. */
export interface Hop {
  /** Name of the proxy's pod. */
  readonly pod: string;
  /** The original destination that the proxy was told. */
  readonly saw: string;
}

/** In the order that the call took: the client's proxy, the workload's. */
export function hops({ via, originalDestination }: Answer): Hop[] {
  const seen = originalDestination.split(", ");
  const names = via === "" ? [] : via.split(", ").map((each) => each.replace(/^1\.1 /, ""));
  return names.map((pod, i) => ({ pod, saw: seen[i] ?? "" })).reverse();
}

/** The workload that answered, by its own word; "" if none did. */
export const answeredBy = ({ body }: Answer): string => /instance: (\S+)/.exec(body)?.[1] ?? "";

/** @returns what is not as the contract says, in words; nothing if all is. */
export function check(call: Call, answer: Answer): string[] {
  const workload = answeredBy(answer);
  const into = call.into[workload];
  if (into === undefined) return [`answered by ${workload || "nobody"}`];
  const { address = "" } = workloads.find(({ name }) => name === workload) ?? {};
  // The client's proxy chooses a workload; without it the connection arrives as it was asked for.
  const arrives = call.out === "proxy" ? `${address}:${call.to.split(":")[1]}` : call.to;
  const wanted = [
    ...(call.out === "proxy" ? [{ pod: client.name, saw: call.to }] : []),
    ...(into === "proxy" ? [{ pod: workload, saw: arrives }] : []),
  ];
  const wrong: string[] = [];
  const text = (way: readonly Hop[]): string =>
    way.map(({ pod, saw }) => `${pod}'s proxy (${saw})`).join(", ") || "none";
  const went = text(hops(answer));
  if (went !== text(wanted)) wrong.push(`passed ${went}, should have passed ${text(wanted)}`);
  if (answer.peer !== call.to) wrong.push(`getpeername() says ${answer.peer}`);
  if ((answer.server === workload) !== (wanted.length === 0)) wrong.push(`the server header says ${answer.server}`);
  return wrong;
}
