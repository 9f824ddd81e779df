/** Addresses and policies for tests, as a person writes them. */

import type { PodState } from "../src/maps/state.js";
import { type Address, maskAddress, type Prefix, parseAddress } from "../src/model/address.js";
import type { Policy } from "../src/model/policy.js";

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new RangeError(text);
  return parsed;
}

export function prefix(text: string): Prefix {
  const [start = "", length = "32"] = text.split("/");
  return maskAddress(address(start), Number(length));
}

/** All outbound TCP to 15001, but for what `changes` say. */
export function policy(id: bigint, changes: Partial<Policy> = {}): Policy {
  return {
    id,
    proxyUid: 1337,
    proxyGid: 1337,
    outboundPort: 15001,
    inboundPort: 15006,
    captureOtherOutbound: true,
    sidecarNone: false,
    captureOtherInbound: true,
    keepLocal: false,
    loopback: prefix("127.0.0.1/32"),
    owners: { mode: "all", gids: [] },
    dns: "off",
    routes: [],
    ports: [],
    ranges: [],
    ...changes,
  };
}

/** A pod of which nothing is known but what `changes` say. */
export function podState(cgroupId: bigint, policyId: bigint, changes: Partial<PodState> = {}): PodState {
  return {
    cgroupId,
    policy: policyId,
    netnsCookie: 0n,
    proxyCgroupId: 0n,
    proxyCgroupOnly: false,
    captureIpv6: false,
    uidBase: 0,
    gidBase: 0,
    ipv4: undefined,
    ipv6: undefined,
    localAddresses: [],
    dnsServers: [],
    excludedInterfaces: [],
    ...changes,
  };
}
