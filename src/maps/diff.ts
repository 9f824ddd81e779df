/**
 * The difference between what is in the kernel and what is to be there, as operations in the order in which
 * they are safe. Pure.
 *
 * A program that runs meanwhile sees a pod's old policy or its new one, whole:
 *   1. new policies, each before anything names it;
 *   2. addresses and records of pods, then the pods' entries: a pod is found only when its record is there;
 *   3. the flip: one 64-bit store a pod;
 *   4. entries of pods that are gone;
 *   5. a grace period, so that no program still holds what was flipped or unlisted;
 *   6. old policies, addresses, records and counts go, and their ids and slots may be used again.
 */
import { type Address, sameAddress } from "../model/address.js";
import type { Policy } from "../model/policy.js";
import { type Have, localEntries, type PodState, type Want } from "./state.js";

export type Op =
  | { readonly kind: "add-policy"; readonly policy: Policy }
  /** Writes the flags of an address, new or not. */
  | { readonly kind: "add-local"; readonly pod: bigint; readonly address: Address; readonly flags: number }
  | { readonly kind: "add-interface"; readonly pod: bigint; readonly index: number }
  /** A pod that was not there: its record in a free slot, then its entry. */
  | { readonly kind: "add-pod"; readonly pod: PodState }
  /** What the record says beside the policy. */
  | { readonly kind: "set-pod"; readonly pod: PodState; readonly slot: number; readonly policy: bigint }
  | { readonly kind: "flip"; readonly pod: bigint; readonly slot: number; readonly policy: bigint }
  /** The entry of a pod whose record is still there: it came back before that could go. */
  | { readonly kind: "list-pod"; readonly pod: bigint; readonly slot: number }
  /** An entry that says that the pod is known and not to be captured; of an enrolled one in the place of its own. */
  | { readonly kind: "add-outside"; readonly pod: bigint }
  | { readonly kind: "unlist-pod"; readonly pod: bigint }
  | { readonly kind: "fence" }
  | { readonly kind: "remove-local"; readonly pod: bigint; readonly address: Address }
  | { readonly kind: "remove-interface"; readonly pod: bigint; readonly index: number }
  | { readonly kind: "remove-pod"; readonly pod: bigint; readonly slot: number }
  | { readonly kind: "remove-policy"; readonly policy: bigint };

function sameOrNone(a: Address | undefined, b: Address | undefined): boolean {
  return a === undefined || b === undefined ? a === b : sameAddress(a, b);
}

function sameList<T>(a: readonly T[], b: readonly T[], same: (a: T, b: T) => boolean): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!same(a[i] as T, b[i] as T)) return false;
  return true;
}

/** Whether nothing has changed, not even an order: most pods, most of the time. */
function sameFacts(a: PodState, b: PodState): boolean {
  return (
    sameList(a.localAddresses, b.localAddresses, sameAddress) &&
    sameList(a.dnsServers, b.dnsServers, sameAddress) &&
    sameList(a.excludedInterfaces, b.excludedInterfaces, Object.is)
  );
}

function sameRecord(a: PodState, b: PodState): boolean {
  return (
    a.netnsCookie === b.netnsCookie &&
    a.proxyCgroupId === b.proxyCgroupId &&
    a.captureIpv6 === b.captureIpv6 &&
    a.proxyCgroupOnly === b.proxyCgroupOnly &&
    a.uidBase === b.uidBase &&
    a.gidBase === b.gidBase &&
    sameOrNone(a.ipv4, b.ipv4) &&
    sameOrNone(a.ipv6, b.ipv6)
  );
}

const unchanged: { readonly before: readonly Op[]; readonly after: readonly Op[] } = { before: [], after: [] };

/** What of a pod stands in maps of its own: what is to be written before, and what may go after the grace period. */
function facts(pod: bigint, old: PodState | undefined, want: PodState | undefined): { before: Op[]; after: Op[] } {
  const none = { localAddresses: [], dnsServers: [], excludedInterfaces: [] };
  const had = localEntries(old ?? none);
  const wanted = localEntries(want ?? none);
  const before: Op[] = [];
  const after: Op[] = [];
  for (const [key, { address, flags }] of wanted) {
    if (had.get(key)?.flags !== flags) before.push({ kind: "add-local", pod, address, flags });
  }
  for (const [key, { address }] of had) if (!wanted.has(key)) after.push({ kind: "remove-local", pod, address });
  const interfaces = want?.excludedInterfaces ?? [];
  for (const index of interfaces)
    if (!old?.excludedInterfaces.includes(index)) before.push({ kind: "add-interface", pod, index });
  for (const index of old?.excludedInterfaces ?? [])
    if (!interfaces.includes(index)) after.push({ kind: "remove-interface", pod, index });
  return { before, after };
}

/**
 * What is there → what was wanted and found to be the same. Neither ever changes, another state is another object, and
 * most pods are as they were most of the time.
 */
const settled = new WeakMap<PodState, PodState>();

/** @returns no operation at all when `have` is what is wanted. */
export function diff(have: Have, want: Want): Op[] {
  const before: Op[] = [];
  const flips: Op[] = [];
  const listed: Op[] = [];
  const unlisted: Op[] = [];
  const after: Op[] = [];
  const named = new Set<bigint>();
  const outside = want.outside ?? new Set();
  /** Where all that there is has been met, nothing is left to look for. */
  let [stayingPods, stayingPolicies] = [0, 0];

  for (const pod of want.pods.values()) {
    named.add(pod.policy);
    const old = have.pods.get(pod.cgroupId);
    if (old !== undefined) stayingPods++;
    if (old !== undefined && settled.get(old) === pod && !have.unlisted?.has(pod.cgroupId)) continue;
    const changed = old !== undefined && sameFacts(old, pod) ? unchanged : facts(pod.cgroupId, old, pod);
    before.push(...changed.before);
    after.push(...changed.after);
    if (old === undefined) {
      before.push({ kind: "add-pod", pod });
      continue;
    }
    const { slot } = old;
    const same = sameRecord(old, pod);
    if (same && old.policy === pod.policy && changed.before.length + changed.after.length === 0) settled.set(old, pod);
    if (!same) before.push({ kind: "set-pod", pod, slot, policy: old.policy });
    if (old.policy !== pod.policy) flips.push({ kind: "flip", pod: pod.cgroupId, slot, policy: pod.policy });
    if (have.unlisted?.has(pod.cgroupId)) listed.push({ kind: "list-pod", pod: pod.cgroupId, slot });
  }
  for (const old of stayingPods === have.pods.size ? [] : have.pods.values()) {
    if (want.pods.has(old.cgroupId)) continue;
    if (!outside.has(old.cgroupId) && !have.unlisted?.has(old.cgroupId))
      unlisted.push({ kind: "unlist-pod", pod: old.cgroupId });
    after.push(...facts(old.cgroupId, old, undefined).after);
    after.push({ kind: "remove-pod", pod: old.cgroupId, slot: old.slot });
  }

  for (const id of outside) if (!have.outside?.has(id)) unlisted.push({ kind: "add-outside", pod: id });
  for (const id of have.outside ?? [])
    if (!outside.has(id) && !want.pods.has(id)) unlisted.push({ kind: "unlist-pod", pod: id });

  const policies: Op[] = [];
  for (const id of named) {
    const stays = have.policies.has(id);
    if (stays) stayingPolicies++;
    const policy = stays ? undefined : want.policies.get(id);
    if (policy !== undefined) policies.push({ kind: "add-policy", policy });
  }
  for (const id of stayingPolicies === have.policies.size ? [] : have.policies.keys())
    if (!named.has(id)) after.push({ kind: "remove-policy", policy: id });

  const changes = [...policies, ...before, ...flips, ...listed, ...unlisted];
  return after.length === 0 ? changes : [...changes, { kind: "fence" }, ...after];
}
