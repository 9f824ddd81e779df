/** Which connections went around the proxy: those that a pod's application made before its policy was there. */
import { type Address, formatAddress } from "../model/address.js";
import type { Policy } from "../model/policy.js";
import { decideOutbound, type PodFacts } from "./decide.js";

/** A socket that is connected, is being connected, or listens. */
export interface OpenSocket {
  readonly listening: boolean;
  readonly local: Address;
  /** Host order, as all ports here. */
  readonly localPort: number;
  readonly remote: Address;
  readonly remotePort: number;
  /** Real ids of who holds it, as the pod sees them; a gid is not known of a socket that no process was seen to hold. */
  readonly uid: number;
  readonly gid: number | undefined;
  /** Somebody in the pod holds it, or made it. */
  readonly isOfPod: boolean;
  /** The proxy holds it, or made it. */
  readonly isProxy: boolean;
}

const end = (address: Address, port: number): string => `${formatAddress(address)} ${port}`;

/**
 * Those that `policy` would have led to the proxy. Left alone are, beside what the policy lets pass:
 *
 * - those of others who are in the pod's namespace, such as a process of the host with nsenter(1): nothing of theirs is
 *   captured;
 * - the proxy's own;
 * - what was accepted: a socket whose port somebody in the pod listens at;
 * - what reached the proxy all the same, because iptables rules of the pod led it there: the proxy then has the other
 *   end, with the application's address and port as its peer, at its outbound port;
 * - a socket whose holder's group is not known, where the policy asks for it.
 *
 * Pure. @param sockets all of the pod's namespace.
 */
export function leaked<S extends OpenSocket>(policy: Policy, facts: PodFacts, sockets: readonly S[]): S[] {
  const listening = new Set(sockets.filter((socket) => socket.listening).map(({ localPort }) => localPort));
  const atProxy = new Set(
    sockets
      .filter(({ localPort }) => localPort === policy.outboundPort)
      .map(({ remote, remotePort }) => end(remote, remotePort)),
  );
  return sockets.filter((socket) => {
    const { local, localPort, remote, remotePort, uid, gid } = socket;
    if (!socket.isOfPod || socket.isProxy || listening.has(localPort) || atProxy.has(end(local, localPort)))
      return false;
    if (gid === undefined && policy.owners.mode !== "all") return false;
    const { verdict } = decideOutbound(policy, facts, {
      ...{ protocol: "tcp", source: local, destination: remote, port: remotePort },
      ...{ uid, gid: gid ?? -1, isProxyCgroup: false },
    });
    return verdict === "redirect";
  });
}
