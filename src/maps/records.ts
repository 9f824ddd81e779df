/** Elements of the maps from and to the model: what a struct of the contract says of an address, a policy, a pod. */
import { type Address, maskAddress, type Prefix } from "../model/address.js";
import type { Policy } from "../model/policy.js";
import { type Contract, type PodFlag, type PodRecord, type PolicyFlag, podFlags, policyFlags } from "./contract.js";
import { u32 } from "./layout.js";
import type { PodState } from "./state.js";

/** Our form of an address, for a struct address. */
export function encodeAddress(value: Address | undefined): PodRecord["ipv4"] {
  return value === undefined ? { family: 0, words: new Uint8Array(16) } : { family: value.family, words: value.bytes };
}

/** @returns undefined for FAMILY_NONE. */
export function decodeAddress(value: PodRecord["ipv4"]): Address | undefined {
  return value.family === 4 || value.family === 6 ? { family: value.family, bytes: value.words } : undefined;
}

/** The first word of an address or mask, as the C field that holds it in network order. */
function networkWord(bytes: Uint8Array): number {
  return u32.decode(bytes.subarray(0, 4));
}

/** The `policies` map's value. */
export function encodePolicy(contract: Contract, value: Policy): Uint8Array {
  const mask = maskAddress({ family: 4, bytes: new Uint8Array(16).fill(0xff) }, value.loopback.length);
  const set: Record<PolicyFlag, boolean> = {
    "capture-other-outbound": value.captureOtherOutbound,
    "keep-local": value.keepLocal,
    "has-outbound-ports": value.ports.some((port) => port.direction === "outbound"),
    "has-ranges": value.ranges.length > 0,
    "capture-other-inbound": value.captureOtherInbound,
    "has-routes": value.routes.length > 0,
    "groups-included": value.owners.mode === "included",
    "groups-excluded": value.owners.mode === "excluded",
    "sidecar-none": value.sidecarNone,
    dns: value.dns !== "off",
    "dns-all-servers": value.dns === "all",
    "has-inbound-ports": value.ports.some((port) => port.direction === "inbound"),
  };
  return contract.policy.encode({
    id: value.id,
    flags: policyFlags.reduce((bits, name) => bits | (set[name] ? contract.policyFlags[name] : 0), 0),
    proxy_uid: value.proxyUid,
    proxy_gid: value.proxyGid,
    outbound_port: value.outboundPort,
    inbound_port: value.inboundPort,
    loopback: networkWord(value.loopback.address.bytes),
    loopback_mask: networkWord(mask.address.bytes),
  });
}

/** The `pod_records` map's value. @param policy the one that it names, which may not be the pod's own yet. */
export function encodePodRecord(contract: Contract, pod: PodState, policy: bigint): Uint8Array {
  const set: Record<PodFlag, boolean> = { ipv6: pod.captureIpv6, "proxy-cgroup-only": pod.proxyCgroupOnly };
  return contract.podRecord.encode({
    cgroup_id: pod.cgroupId,
    policy,
    netns_cookie: pod.netnsCookie,
    proxy_cgroup_id: pod.proxyCgroupId,
    ipv4: encodeAddress(pod.ipv4),
    ipv6: encodeAddress(pod.ipv6),
    flags: podFlags.reduce((bits, name) => bits | (set[name] ? contract.podFlags[name] : 0), 0),
    uid_base: pod.uidBase,
    gid_base: pod.gidBase,
  });
}

/** What a record says of its pod. @param facts which stand in maps of their own. */
export function decodePodRecord(
  contract: Contract,
  record: PodRecord,
  facts: Pick<PodState, "localAddresses" | "dnsServers" | "excludedInterfaces">,
): PodState {
  return {
    cgroupId: record.cgroup_id,
    policy: record.policy,
    netnsCookie: record.netns_cookie,
    proxyCgroupId: record.proxy_cgroup_id,
    ipv4: decodeAddress(record.ipv4),
    ipv6: decodeAddress(record.ipv6),
    captureIpv6: (record.flags & contract.podFlags.ipv6) !== 0,
    proxyCgroupOnly: (record.flags & contract.podFlags["proxy-cgroup-only"]) !== 0,
    uidBase: record.uid_base,
    gidBase: record.gid_base,
    ...facts,
  };
}

/** A key of the `range_rules` map. */
export function encodeRange(
  contract: Contract,
  policyId: bigint,
  prefix: Prefix,
  kind: "range" | "route" = "range",
): Uint8Array {
  return contract.rangeKey.encode({
    prefix_length: contract.rangeKeyFixedBits + prefix.length,
    family: prefix.address.family + (kind === "route" ? contract.rangeRoute : 0),
    policy: policyId,
    words: prefix.address.bytes,
  });
}

/** A record of the `flows` ring, with addresses in our form. */
export function decodeFlow(contract: Contract, bytes: Uint8Array) {
  const record = contract.flow.decode(bytes);
  return { ...record, source: decodeAddress(record.source), destination: decodeAddress(record.destination) };
}
