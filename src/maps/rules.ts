/** A policy's rules in the maps: every key begins with the policy's id. */
import type { NativeMap } from "../kernel/native.js";
import type { Policy } from "../model/policy.js";
import { directions, reasons, verdicts } from "../model/verdict.js";
import type { Contract } from "./contract.js";
import { encodeRange } from "./records.js";

interface RuleMaps {
  readonly port_rules: NativeMap;
  readonly range_rules: NativeMap;
  readonly owner_groups: NativeMap;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The keys of one policy's rules, concatenated: what it takes to delete them. */
export interface PolicyKeys {
  readonly ports: Uint8Array;
  /** Routes after the ranges. */
  readonly ranges: Uint8Array;
  readonly groups: Uint8Array;
}

export function policyKeys(contract: Contract, policy: Policy): PolicyKeys {
  const ports = policy.ports.map((port) =>
    contract.portKey.encode({ policy: policy.id, port: port.port, direction: directions.indexOf(port.direction) }),
  );
  return {
    ports: join(ports),
    ranges: join([
      ...policy.ranges.map((range) => encodeRange(contract, policy.id, range.prefix)),
      ...policy.routes.map((route) => encodeRange(contract, policy.id, route.prefix, "route")),
    ]),
    groups: join(policy.owners.gids.map((gid) => contract.groupKey.encode({ policy: policy.id, gid }))),
  };
}

/** Writes the rules in bulk. @throws KernelError of the map that is full, with some of them written. */
export function writePolicyRules(maps: RuleMaps, contract: Contract, policy: Policy, keys: PolicyKeys): void {
  const value = (rule: { action: "bypass" | "redirect"; reason: (typeof reasons)[number] }) =>
    contract.rule.encode({ verdict: verdicts.indexOf(rule.action), reason: reasons.indexOf(rule.reason) });
  if (policy.ports.length > 0) maps.port_rules.updateMany(keys.ports, join(policy.ports.map(value)));
  const routes = policy.routes.map(({ excluded }) =>
    value({ action: excluded ? "bypass" : "redirect", reason: "excluded-interface" }),
  );
  if (keys.ranges.length > 0) maps.range_rules.updateMany(keys.ranges, join([...policy.ranges.map(value), ...routes]));
  const { gids } = policy.owners;
  if (gids.length > 0) maps.owner_groups.updateMany(keys.groups, new Uint8Array(gids.length).fill(1));
}

/** Deletes whatever is there of them. */
export function removePolicyRules(maps: RuleMaps, keys: PolicyKeys): void {
  if (keys.ports.length > 0) maps.port_rules.deleteMany(keys.ports);
  if (keys.ranges.length > 0) maps.range_rules.deleteMany(keys.ranges);
  if (keys.groups.length > 0) maps.owner_groups.deleteMany(keys.groups);
}

/** The rules that are in the maps, by the policy that they say they are of. */
export function readPolicyKeys(maps: RuleMaps, contract: Contract): Map<bigint, PolicyKeys> {
  const ports = keysByPolicy(maps.port_rules, contract.portKey);
  const ranges = keysByPolicy(maps.range_rules, contract.rangeKey);
  const groups = keysByPolicy(maps.owner_groups, contract.groupKey);
  const ids = new Set([...ports.keys(), ...ranges.keys(), ...groups.keys()]);
  const of = (keys: Map<bigint, Uint8Array[]>, id: bigint): Uint8Array => join(keys.get(id) ?? []);
  return new Map([...ids].map((id) => [id, { ports: of(ports, id), ranges: of(ranges, id), groups: of(groups, id) }]));
}

function keysByPolicy(
  map: NativeMap,
  codec: { readonly size: number; decode(bytes: Uint8Array): { readonly policy: bigint } },
): Map<bigint, Uint8Array[]> {
  const { count, keys } = map.entries();
  const found = new Map<bigint, Uint8Array[]>();
  for (let i = 0; i < count; i++) {
    const key = keys.subarray(i * codec.size, (i + 1) * codec.size);
    const { policy } = codec.decode(key);
    const list = found.get(policy);
    if (list === undefined) found.set(policy, [key]);
    else list.push(key);
  }
  return found;
}
