/** What `shunt explain` can be asked, and the model's verdict on it. Pure. */
import type { Address } from "../model/address.js";
import type { Policy } from "../model/policy.js";
import { withRoutes } from "./compile.js";
import { type Decision, decideInbound, decideOutbound, type PodFacts } from "./decide.js";
import { parseRange } from "./values.js";

export type Question =
  | {
      readonly direction: "outbound";
      readonly protocol: "tcp" | "udp";
      readonly destination: Address;
      readonly port: number;
      /** In the proxy's container, or elsewhere in the pod. */
      readonly as: "app" | "proxy";
      /** Real ids, as the pod sees them. By default an application has neither of the proxy's, the proxy has both. */
      readonly uid?: number | undefined;
      readonly gid?: number | undefined;
      /** What the socket is bound to, if anything. */
      readonly source?: Address | undefined;
      /** Where the pod's routes are not known: by which it leaves. By default one that is not excluded. */
      readonly interface?: string | undefined;
    }
  | {
      readonly direction: "inbound";
      readonly port: number;
      /** IPv4 by default. */
      readonly family?: 4 | 6 | undefined;
      /** TCP by default. */
      readonly protocol?: "tcp" | "udp" | undefined;
      /** By which it arrives. By default one that is not excluded. */
      readonly interface?: string | undefined;
    };

/** What is known of a pod beside its policy. */
export interface ExplainFacts extends PodFacts {
  /** Index by name, of those that a question may name. */
  readonly interfaces?: ReadonlyMap<string, number>;
  /** The policy has none though interfaces are excluded: nobody has seen the pod's network. */
  readonly routes?: "unknown";
  /** 0n: the proxy's container is not known, and its ids alone tell who it is. */
  readonly proxyCgroupId?: bigint;
}

/** An application's id. */
const otherThan = (id: number): number => (id === 1000 ? 1001 : 1000);

/** Names of the excluded interfaces, or their indexes where no name is known. */
export function excludedNames({ excludedInterfaces = [], interfaces = new Map() }: ExplainFacts): string[] {
  const names = new Map([...interfaces].map(([name, index]) => [index, name]));
  return excludedInterfaces.map((index) => names.get(index) ?? `index ${index}`);
}

export function decideQuestion(policy: Policy, facts: ExplainFacts, question: Question): Decision {
  const { interface: name = "" } = question;
  const index = facts.interfaces?.get(name) ?? 0;
  if (question.direction === "inbound") {
    const { port, family = 4, protocol = "tcp" } = question;
    return decideInbound(policy, facts, { port, family, protocol, interface: index });
  }
  const { as, protocol, destination, port, source } = question;
  const isProxy = as === "proxy";
  const { uid = isProxy ? policy.proxyUid : otherThan(policy.proxyUid) } = question;
  const { gid = isProxy ? policy.proxyGid : otherThan(policy.proxyGid) } = question;
  const isProxyCgroup = isProxy && facts.proxyCgroupId !== 0n;
  const isAway = facts.routes === "unknown" && facts.excludedInterfaces?.includes(index) === true;
  const routed = isAway ? withRoutes(policy, everywhere) : policy;
  return decideOutbound(routed, facts, { protocol, source, destination, port, uid, gid, isProxyCgroup });
}

/** Whatever is not the pod's own leaves by an excluded interface, as if the pod's routes said so. */
const everywhere = ["0.0.0.0/0", "::/0"].flatMap((text) => {
  const parsed = parseRange(text);
  return "value" in parsed ? [{ prefix: parsed.value.prefix, excluded: true }] : [];
});

/**
 * What a question leaves open and the answer depends on: it would be another one for another caller or interface.
 * @returns for people, one sentence each.
 */
export function assumptions(policy: Policy, facts: ExplainFacts, question: Question): string[] {
  const decision = decideQuestion(policy, facts, question);
  const differs = (other: Question, otherFacts = facts): boolean => {
    const { verdict, to } = decideQuestion(policy, otherFacts, other);
    return verdict !== decision.verdict || to !== decision.to;
  };
  const found: string[] = [];
  const outbound = question.direction === "outbound";
  const { gids } = policy.owners;
  if (outbound && question.as === "app" && question.gid === undefined) {
    const other = gids.find((gid) => gid !== policy.proxyGid && differs({ ...question, gid }));
    const own = otherThan(policy.proxyGid);
    if (other !== undefined) found.push(`asked for gid ${own}; for gid ${other} the answer is another: --gid ${other}`);
  }
  const names = excludedNames(facts);
  const other = names.find((name) => differs({ ...question, interface: name }));
  if (question.interface === undefined && other !== undefined) {
    const verb = outbound ? "leaves" : "arrives";
    const live = outbound ? ", or --live, which knows the pod's routes" : "";
    found.push(
      `as if it ${verb} by none of the excluded interfaces (${names.join(", ")}): --interface ${other}${live}`,
    );
  }
  if (outbound && policy.dns === "resolv-conf" && facts.dnsServers === undefined) {
    if (differs(question, { ...facts, dnsServers: [question.destination] }))
      found.push("as if this were no server of the pod's resolv.conf, which --live knows");
  }
  return found;
}
