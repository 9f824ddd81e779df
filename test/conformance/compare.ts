/** The same sockets in both pods, and what the written contract and the model say of them. */
import { baseConfig, type CaptureConfig, type CniPod, split } from "./config.js";
import { contract, interfaceOf } from "./contract.js";
import type { Family } from "./generate.js";
import { loadRules, matchedRules } from "./iptables.js";
import { podOf } from "./manifest.js";
import { modelOf } from "./model.js";
import type { Programs } from "./programs.js";
import { type Features, features, isCompared } from "./scope.js";
import { openShunt, type Steered } from "./shunt.js";
import { openSite, proxyPorts, type Site } from "./site.js";
import { type Arrival, describeSocket, type Socket } from "./sockets.js";
import { inboundOf } from "./universe.js";

/** One configuration, as both sides take it. */
export interface Subject {
  readonly name: string;
  readonly config: CaptureConfig;
  readonly rules: Readonly<Record<Family, string>>;
  readonly pod: CniPod;
  /** False for a socket that no pod can have treated as the rules do: it is not Shunt's. README.md says which. */
  readonly expressible?: (socket: Socket) => boolean;
}

export interface Disagreement {
  readonly subject: Subject;
  readonly socket: Socket;
  readonly iptables: Arrival;
  /** Who differs: the contract against iptables means that the judge is wrong. */
  readonly other: "contract" | "shunt" | "model";
  readonly said: string;
  /** Those of iptables that counted the socket's first packet. */
  readonly matched: readonly string[];
}

export interface Counts {
  readonly contract: number;
  readonly shunt: number;
  readonly model: number;
}

export interface Compared {
  readonly counts: Counts;
  readonly disagreements: readonly Disagreement[];
}

export interface Pair {
  /** Opens the sockets on both sides. */
  compare(subject: Subject, sockets: readonly Socket[], on?: Features): Promise<Compared>;
  close(): Promise<void>;
}

/** Rules are looked up for so many disagreements of a configuration: each is a connection more. */
const explained = 5;

/** @param ports that somebody listens on. */
export async function openPair(ports: readonly number[]): Promise<Pair> {
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).toReversed()) await closer();
  };
  const open = async (programs?: Programs): Promise<Site> => {
    const site = await openSite(ports, programs);
    closers.push(() => site.close());
    return site;
  };
  try {
    const real = await open();
    const steered = await open(real.programs);
    const shunt = await openShunt(steered);
    closers.push(() => shunt.close());
    await settle(steered, shunt);
    return { compare: comparison(real, steered, shunt), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * The agent announces a pod's first policy before it has seen the pod's namespace: its addresses and the program that
 * steers inbound connections follow a moment later, once. From then on a policy is all that changes.
 */
async function settle(site: Site, shunt: Steered): Promise<void> {
  await shunt.apply(podOf({ ...baseConfig, InboundPortsInclude: "*" }));
  await site.listen(1337, 1337);
  const [call] = inboundOf([proxyPorts["proxy-outbound"]]);
  const end = Date.now() + 60_000;
  for (let who = ""; who !== "proxy-inbound"; ) {
    if (Date.now() > end) throw new Error(`inbound connections are not steered after a minute: ${who}`);
    who = (await site.ask(call === undefined ? [] : [call]))[0]?.who ?? "";
  }
}

function comparison(real: Site, steered: Site, shunt: Steered): Pair["compare"] {
  let ids = "";
  return async (subject, sockets, on = features) => {
    const { config, rules, pod, expressible = () => true } = subject;
    const [, manifest] = await Promise.all([loadRules(real, rules), shunt.apply(pod)]);
    const [uid = 1337] = split(config.ProxyUID).map(Number);
    const [gid = 1337] = split(config.ProxyGID).map(Number);
    // After the policy: the proxy is known by its ids when it begins to listen.
    if (ids !== `${uid} ${gid}`) await Promise.all([real, steered].map((site) => site.listen(uid, gid)));
    ids = `${uid} ${gid}`;

    const inScope = sockets.filter((socket) => expressible(socket) && isCompared(config, socket, on));
    const [arrived, ours] = await Promise.all([real.ask(sockets), steered.ask(inScope)]);
    const bySocket = new Map(inScope.map((socket, i) => [socket, ours[i]]));
    const model = modelOf(manifest);
    const counts = { contract: 0, shunt: 0, model: 0 };
    const found: Omit<Disagreement, "matched">[] = [];
    for (const [i, socket] of sockets.entries()) {
      const iptables = arrived[i] ?? { who: "", origin: "", from: "" };
      const differs = (other: Disagreement["other"], said: string): number =>
        found.push({ subject, socket, iptables, other, said });
      const expected = contract(config, socket);
      counts.contract++;
      if (iptables.who !== expected) differs("contract", expected);
      const arrival = bySocket.get(socket);
      if (arrival === undefined) continue;
      counts.shunt++;
      if (seen(socket, arrival) !== seen(socket, iptables)) differs("shunt", show(arrival));
      const modelled = model(config, socket);
      if (modelled === undefined) continue;
      counts.model++;
      if (modelled !== iptables.who) differs("model", modelled);
    }
    const disagreements: Disagreement[] = [];
    for (const [i, each] of found.entries()) {
      disagreements.push({ ...each, matched: i < explained ? await matchedRules(real, each.socket) : [] });
    }
    return { counts, disagreements };
  };
}

/**
 * What has to be equal. A DNS server is not told where a query had been going. The source of a steered connection that
 * is not bound is the pod's address with Shunt (semantics, section 5); with iptables it is the kernel's choice for the
 * destination, which is another one on the way through lo or a second interface.
 */
function seen(socket: Socket, { who, origin, from }: Arrival): string {
  if (who === "dns") return who;
  const chosen = socket.direction === "outbound" && socket.source === undefined && interfaceOf(socket) !== "eth0";
  return [who, origin, ...(who.startsWith("proxy-") && chosen ? [] : [from])].join(" ");
}

const show = ({ who, origin, from }: Arrival): string => (origin === "" ? who : `${who} for ${origin}, from ${from}`);

/** For people, several lines. */
export function describe({ subject, socket, iptables, other, said, matched }: Disagreement): string {
  const { name, pod } = subject;
  return [
    `${name}: ${describeSocket(socket)}`,
    `  iptables: ${show(iptables)}`,
    `  ${other}: ${said}`,
    ...matched.map((rule) => `  matched: ${rule}`),
    `  pod: ${JSON.stringify(pod)}`,
  ].join("\n");
}
