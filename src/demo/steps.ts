/** What the demo does, and where each call has to go by the contract (semantics, sections 2 and 3). Pure. */
const prefix = "traffic.sidecar.istio.io/";

/** The service's address: both workloads take it. */
export const service = { address: "10.96.10.10", port: 5000 } as const;
export const workloads = [
  { name: "helloworld-v1", address: "10.77.0.11" },
  { name: "helloworld-v2", address: "10.77.0.12" },
] as const;
export const client = { name: "client", address: "10.77.0.2" } as const;

export interface Call {
  readonly to: string;
  /** The proxy's, or the workload's own. */
  readonly via: "proxy" | "direct";
}

export interface Step {
  /** What a person would say has changed. */
  readonly change: string;
  /** Annotations of the client's pod, whole. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly calls: readonly Call[];
}

const toService = `${service.address}:${service.port}`;
const toPod = `${workloads[0].address}:5000`;
const toOther = `${workloads[0].address}:5001`;

export const steps: readonly Step[] = [
  {
    change: "no annotation: all outbound TCP is captured",
    annotations: {},
    calls: [
      { to: toService, via: "proxy" },
      { to: toPod, via: "proxy" },
    ],
  },
  {
    change: 'excludeOutboundPorts: "5000"',
    annotations: { [`${prefix}excludeOutboundPorts`]: "5000" },
    calls: [
      { to: toService, via: "direct" },
      { to: toOther, via: "proxy" },
    ],
  },
  {
    change: 'excludeOutboundIPRanges: "10.96.0.0/16"',
    annotations: { [`${prefix}excludeOutboundIPRanges`]: "10.96.0.0/16" },
    calls: [
      { to: toService, via: "direct" },
      { to: toPod, via: "proxy" },
    ],
  },
  {
    change: 'includeOutboundIPRanges: "", includeOutboundPorts: "5000"',
    annotations: { [`${prefix}includeOutboundIPRanges`]: "", [`${prefix}includeOutboundPorts`]: "5000" },
    calls: [
      { to: toService, via: "proxy" },
      { to: toOther, via: "direct" },
    ],
  },
  {
    change: "back to no annotation",
    annotations: {},
    calls: [
      { to: toService, via: "proxy" },
      { to: toOther, via: "proxy" },
    ],
  },
];

/** What a call brought back. */
export interface Answer {
  readonly server: string;
  readonly via: string;
  /** As the proxy says that it saw it; "" if it did not pass through the proxy. */
  readonly originalDestination: string;
  /** getpeername() of the client's socket. */
  readonly peer: string;
  readonly body: string;
}

/** @returns what is not as the contract says, in words; nothing if all is. */
export function check(call: Call, answer: Answer): string[] {
  const went = answer.via === "" ? "direct" : "proxy";
  const wrong: string[] = [];
  if (went !== call.via) wrong.push(`went ${went}, should have gone ${call.via}`);
  if (went === "proxy" && answer.originalDestination !== call.to) {
    wrong.push(`the proxy saw ${answer.originalDestination || "nothing"} as original destination`);
  }
  if (answer.peer !== call.to) wrong.push(`getpeername() says ${answer.peer}`);
  const raw = workloads.some((workload) => workload.name === answer.server);
  if (raw !== (went === "direct")) wrong.push(`the server header says ${answer.server}`);
  return wrong;
}
